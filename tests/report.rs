//! The report of a training: what its page says and shows.

use std::ops::Range;

use base64::{Engine, prelude::BASE64_STANDARD};
use n2n_gpu::data::picture::Picture;
use n2n_gpu::ops::Loss;
use n2n_gpu::train::report::{Frame, Record, Strip, Summary, html};

/// Size of the text of charts, pixels.
const FONT: f64 = 13.0;

fn summary(fact: &str) -> Summary {
    Summary {
        facts: vec![("network".into(), fact.into())],
        psnr_noisy: Some(20.2),
        clean_targets: false,
        single: false,
        loss: Loss::L2,
    }
}

fn record(step: u64, loss: f64, psnr_estimated: Option<f64>) -> Record {
    let psnr = psnr_estimated.map(|v| v + 0.03);
    Record {
        step,
        seconds: 0.0,
        loss,
        lr: 1e-3,
        grad_norm: 0.1,
        psnr_estimated,
        psnr_estimated_interval: None,
        psnr,
        pictures_per_second: 100.0,
    }
}

fn flat(width: usize, height: usize, value: u8) -> Picture {
    Picture::from_rgb8(width, height, &vec![value; 3 * width * height])
}

fn strip(name: &str, width: usize, clean: bool) -> Strip {
    let clean = clean.then(|| flat(width, 3, 90));
    let (noisy, denoised) = (flat(width, 3, 10), flat(width, 3, 50));
    Strip { name: name.into(), noisy, denoised, clean, psnr_noisy: Some(20.24), psnr: None, earlier: vec![] }
}

#[test]
fn names_cannot_break_the_page() {
    let page = html(&summary("U-Net <small>"), &[], &[strip("\"><script>'", 4, true)]);
    assert!(!page.contains("<script") && !page.contains("<small"));
    assert!(page.contains("U-Net &lt;small&gt;") && page.contains("alt=\"&quot;&gt;&lt;script&gt;&#39;, noisy\""));
    assert!(page.contains("20.2 dB"));
}

#[test]
fn nothing_to_show_is_a_page_too() {
    let page = html(&Summary { facts: vec![], psnr_noisy: None, clean_targets: true, single: false, loss: Loss::L2 }, &[], &[]);
    assert!(page.contains("No curves yet") && page.ends_with("</html>\n"));
    assert!(["<svg", "<img", "<dl", "headline\""].iter().all(|tag| !page.contains(tag)));
    html(&summary(""), &[], &[strip("empty", 0, false)]);
}

#[test]
fn broken_values_are_left_out() {
    let bad = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0];
    for count in 0..3 {
        let mut records: Vec<Record> = (0..count).map(|i| record(i, 0.02, Some(25.0))).collect();
        records.extend(bad.iter().map(|&v| record(9, v, Some(1.0 / v.min(0.0)))));
        let page = html(&summary(""), &records, &[]);
        assert!(!page.contains("NaN") && !page.contains("inf"), "{page}");
        assert_eq!(page.matches("<svg").count(), if count == 0 { 2 } else { 4 });
    }
}

#[test]
fn the_headline_is_the_best_estimate() {
    let records = [record(1, 0.1, Some(22.0)), record(2, 0.1, Some(29.1)), record(3, 0.1, Some(28.0)), record(4, 0.1, None)];
    let page = html(&summary(""), &records, &[]);
    assert!(page.contains("20.2 dB <i>→</i> <b>29.1 dB</b>"));
}

#[test]
fn a_network_that_makes_pictures_no_better_is_not_called_a_denoiser() {
    let page = |psnr| html(&summary(""), &[record(1, 0.1, Some(psnr))], &[]);
    let (better, same, worse) = (page(25.0), page(20.2), page(15.0));
    assert!(better.contains("<h1>A denoiser trained on noisy pictures</h1>") && !better.contains("no better"));
    for page in [same, worse] {
        assert!(!page.contains("denoiser") && !page.contains("dB better"), "{page}");
        assert!(page.contains("no improvement yet</h1>") && page.contains("That is not better"));
        assert!(page.contains("It has not learnt to do so"));
    }
}

#[test]
fn one_held_out_picture_is_singular() {
    let page = |count| html(&summary(""), &[], &vec![strip("a", 4, true); count]);
    assert!(page(1).contains("<h2>Held-out picture</h2>") && page(2).contains("<h2>Held-out pictures</h2>"));
}

fn attribute<'a>(tag: &'a str, name: &str) -> &'a str {
    let (_, rest) = tag.split_once(&format!(" {name}=\"")).unwrap_or_else(|| panic!("no {name} in {tag}"));
    rest.split('"').next().unwrap()
}

fn number(tag: &str, name: &str) -> f64 {
    attribute(tag, name).parse().unwrap()
}

/// The charts of a page with their sizes.
fn charts(page: &str) -> Vec<([f64; 2], &str)> {
    let chart = |rest: &'_ str| {
        let size: Vec<f64> = attribute(rest, "viewBox").split(' ').map(|v| v.parse().unwrap()).collect();
        [size[2], size[3]]
    };
    page.split("<svg").skip(1).map(|rest| (chart(rest), rest.split("</svg>").next().unwrap())).collect()
}

/// Whether it is one of the y axis, horizontal extent, baseline and text of every label, by the advance widths of `DejaVu` Sans,
/// the widest font in common use.
fn labels(svg: &str) -> Vec<(bool, Range<f64>, f64, &str)> {
    let label = |text| {
        let (tag, rest): (&str, &str) = str::split_once(text, '>').unwrap();
        let content = rest.split('<').next().unwrap();
        let em = |c| match c {
            '.' => 0.32,
            '-' => 0.361,
            'M' => 0.863,
            _ => 0.636,
        };
        let (width, of_y) = (FONT * content.chars().map(em).sum::<f64>(), tag.contains("\"end\""));
        let left = number(tag, "x") - if of_y { width } else { width / 2.0 };
        (of_y, left..left + width, number(tag, "y"), content)
    };
    svg.split("<text").skip(1).map(label).collect()
}

/// Two records, the second at step `end`.
fn between(end: u64, [low, high]: [f64; 2]) -> [Record; 2] {
    [record(0, low, Some(21.0)), record(end, high, Some(29.0))]
}

#[test]
fn no_label_is_clipped_or_runs_into_the_next() {
    for losses in [[0.0105, 0.01051], [1e-7, 1.3e-7], [0.02, 3.0], [1.1e5, 2e5], [1e-30, 100.0]] {
        for end in [1, 3, 12, 999, 1500, 100_000, 123_456, 1_250_000, 300_000_000] {
            let page = html(&summary(""), &between(end, losses), &[]);
            assert_eq!(charts(&page).len(), 4);
            for ([width, height], svg) in charts(&page) {
                let labels = labels(svg);
                assert!(labels.len() > 4, "{svg}");
                for (i, (_, a, above, text)) in labels.iter().enumerate() {
                    assert!(a.start >= 0.0 && a.end <= width, "{text}: {a:?} of {width}, {end} steps");
                    // Of letters and digits at most 0.76 of the size are above the baseline, and 0.24 below.
                    assert!(*above >= 0.76 * FONT && above + 0.24 * FONT <= height, "{text}: at {above} of {height}");
                    for (_, b, below, other) in &labels[i + 1..] {
                        let apart = a.end + 2.0 < b.start || b.end + 2.0 < a.start || (above - below).abs() > FONT;
                        assert!(apart, "{text} and {other} of {end} steps, {width} wide");
                    }
                }
            }
        }
    }
}

#[test]
fn steps_have_labels_at_whole_numbers_only() {
    for end in 1..10 {
        for (_, svg) in charts(&html(&summary(""), &between(end, [0.1, 0.2]), &[])) {
            assert!(labels(svg).iter().all(|(of_y, .., label)| *of_y || !label.contains('.')));
        }
    }
}

#[test]
fn every_point_lies_in_the_frame_and_the_last_has_a_dot() {
    for ([width, height], svg) in charts(&html(&summary(""), &between(10, [0.1, 0.2]), &[])) {
        for line in svg.split("<polyline").skip(1) {
            let point = |p: &str| p.split_once(',').map(|(x, y)| [x, y].map(|v| v.parse::<f64>().unwrap())).unwrap();
            let points: Vec<_> = attribute(line, "points").split(' ').map(point).collect();
            assert!(points.iter().all(|[x, y]| (10.0..=width - 10.0).contains(x) && (10.0..height - 10.0).contains(y)));
            let [x, y] = points[points.len() - 1];
            let dashed = line.split('>').next().unwrap().contains("dasharray");
            assert!(dashed || svg.contains(&format!("<circle cx=\"{x:.1}\" cy=\"{y:.1}\"")), "{svg}");
        }
    }
}

#[test]
fn a_rate_that_changes_has_a_chart() {
    let [first, last] = between(9, [0.1, 0.2]);
    let charts_of = |last: Record| charts(&html(&summary(""), &[first.clone(), last], &[])).len();
    assert_eq!([charts_of(last.clone()), charts_of(Record { lr: 0.0, ..last })], [4, 6]);
}

#[test]
fn what_was_taken_away_is_shown_and_put_into_words() {
    let size = 64;
    let noisy: Vec<u8> = (0..3 * size * size).map(|i| if i / 3 % 8 < 4 { 60 } else { 40 }).collect();
    let (noisy, denoised) = (Picture::from_rgb8(size, size, &noisy), flat(size, size, 50));
    let page = html(&summary(""), &[], &[Strip { noisy, denoised, clean: None, ..strip("a", 4, false) }]);
    let words =
        ["taken away</b> <span>times 4</span>", "period of 8.0 pixels", "Autocorrelation", "pixels apart</text>", "spectrum"];
    for part in words {
        assert!(page.contains(part), "no {part}");
    }
}

#[test]
fn the_first_picture_is_shown_as_it_was_on_the_way() {
    let frame = |step| Frame { step, denoised: flat(300, 3, 20), psnr: Some(24.0) };
    let strip = Strip { earlier: vec![frame(120), frame(1500)], ..strip("a", 300, false) };
    let page = html(&summary(""), &[], &[strip.clone(), strip]);
    assert_eq!(page.matches("class=\"film\"").count(), 1);
    assert!(page.contains("after step 120</b> <span>24.0 dB</span>") && page.contains("after step 1500</b>"));
}

#[test]
fn the_interval_of_the_estimate_is_told() {
    let record = Record { psnr_estimated_interval: Some([28.92, 29.31]), psnr: None, ..record(1, 0.1, Some(29.1)) };
    assert!(html(&summary(""), &[record], &[]).contains("clean picture (28.9 to 29.3 dB with 95 % confidence)"));
}

#[test]
fn a_logarithmic_axis_has_a_few_labels() {
    for (low, high) in [(-2.0, -1.96), (-1.7, -1.2), (-2.0, 0.0), (-7.3, 1.1), (-30.0, 2.0)] {
        let page = html(&summary(""), &between(9, [low, high].map(|v| 10_f64.powf(v))), &[]);
        let (_, svg) = charts(&page)[2];
        let count = labels(svg).iter().filter(|label| label.0).count();
        assert!((2..=9).contains(&count), "{low} to {high}: {count}");
    }
}

#[test]
fn the_curve_of_a_training_that_made_nothing_better_is_whole() {
    let record = |step, psnr| Record { psnr_estimated: None, psnr: Some(psnr), ..record(step, 0.1, None) };
    let points = |last| {
        let page = html(&summary(""), &[record(1, 5.0), record(2, 10.0), record(3, last)], &[]);
        attribute(page.split("<polyline").nth(1).unwrap(), "points").split(' ').count()
    };
    assert_eq!([points(9.0), points(25.0)], [3, 1]);
}

#[test]
fn a_strip_has_a_white_gap_between_its_pictures() {
    for (clean, width) in [(false, 2 * 4 + 8), (true, 3 * 4 + 2 * 8)] {
        let picture = strip("a", 4, clean).picture();
        assert_eq!(picture.header().size(), [width, 3]);
        let row = &picture.to_rgb8()[3 * width..];
        let values = [0, 3, 4, 11, 12, 15].map(|x| row[3 * x]);
        assert_eq!(values, [10, 10, 255, 255, 50, 50]);
        assert!(!clean || row[3 * (width - 4)] == 90);
    }
}

/// The first picture embedded in a page, as bytes of the format `kind`.
fn embedded(width: usize, height: usize, kind: &str) -> Vec<u8> {
    let picture = flat(width, height, 7);
    let strip = Strip { denoised: picture.clone(), noisy: picture, clean: None, ..strip("a", 1, false) };
    let page = html(&summary(""), &[], &[strip]);
    let source = attribute(page.split("<img").nth(1).unwrap(), "src");
    BASE64_STANDARD.decode(source.strip_prefix(&format!("data:image/{kind};base64,")).unwrap()).unwrap()
}

#[test]
fn a_picture_is_embedded_from_its_middle_and_a_large_one_as_jpeg() {
    let png = image::load_from_memory(&embedded(2000, 2, "png")).unwrap().to_rgb8();
    assert_eq!((png.dimensions(), png.into_raw()), ((1024, 2), vec![7; 3 * 1024 * 2]));
    assert_eq!(image::load_from_memory(&embedded(500, 600, "jpeg")).unwrap().width(), 500);
}
