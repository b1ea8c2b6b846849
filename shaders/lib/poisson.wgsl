// Three Poisson numbers of means l each, exact also where they are small: sums of numbers of means up to 16, each by inversion
// of its distribution function (Devroye 1986, X.3).
fn poisson3(means: vec3f, peak: f32, i: u32, exposure: u32) -> vec3f {
    var total = vec3f();
    let parts = u32(ceil(peak / 16.0));
    for (var part = 1u; part <= parts; part++) {
        let u = uniform4(numbers(i, 2u + exposure + 16u * part)).xyz;
        let l = means / f32(parts);
        var p = exp(-l);
        var sum = p;
        // The rest of the distribution is no more than a part of what u can tell apart.
        for (var k = 1u; any((u > sum) & (p > vec3f(1e-9))) && k < 100u; k++) {
            let more = (u > sum) & (p > vec3f(1e-9));
            p = select(p, p * l / f32(k), more);
            sum = select(sum, sum + p, more);
            total += select(vec3f(), vec3f(1.0), more);
        }
    }
    return total;
}
