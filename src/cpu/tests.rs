//! Both ways of convolution against the truth, with registers of every width.

use super::conv::{Convolve, Epilogue, Packed};
use super::patches::Patches;
use super::registers::Isa;
use super::{direct, winograd};
use crate::graph::{StorageId, View};

/// Registers that every case is tried with: this processor's, and as wide as NEON's, AVX2's and AVX-512's.
const ISAS: [Isa; 4] = [Isa::Native, Isa::Emulated(4), Isa::Emulated(8), Isa::Emulated(16)];
/// Pictures and channels (N, H, W, C, K): odd sizes, tiles that reach over the border, channels that fill no register.
const SHAPES: [[usize; 5]; 13] = [
    [1, 4, 4, 16, 16],
    [2, 5, 7, 20, 36],
    [3, 8, 8, 48, 48],
    [1, 13, 6, 44, 100],
    [30, 4, 4, 144, 96],
    [1, 3, 130, 24, 16],
    [2, 33, 9, 16, 200],
    [1, 1, 1, 60, 28],
    [1, 2, 3, 4, 8],
    [2, 6, 1, 12, 200],
    [1, 7, 7, 200, 4],
    [1, 3, 5, 4, 4],
    [40, 2, 2, 16, 16],
];
/// Normalised mean square error that single precision may have, of the sums of these shapes: F(4x4, 3x3) has about 1.3e-12
/// where the direct way has 4e-13; pictures of few pixels spread around it.
const TOLERANCE: f64 = 1e-11;

/// Numbers in [-1, 1), the same ones for the same seed.
fn random(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / 2_f32.powi(31) - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// A picture inside of a wider storage.
fn view(shape: [usize; 3], channels: usize, around: [usize; 2]) -> View {
    let stride = around[0] + channels + around[1];
    View { storage: StorageId(0), shape, parts: vec![channels], base: 0, channel: around[0], stride }
}

fn doubles(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| x.into()).collect()
}

fn error(truth: &[f64], result: &[f32]) -> f64 {
    let square: f64 = truth.iter().map(|t| t * t).sum();
    truth.iter().zip(result).map(|(t, &r)| (t - f64::from(r)).powi(2)).sum::<f64>() / square.max(f64::MIN_POSITIVE)
}

fn patches(padding: isize) -> Patches {
    Patches { first: (-padding, -padding), size: (3, 3), source_step: 1, target_step: 1, target_first: (0, 0) }
}

/// The sets of a transposed convolution of stride 2: which taps a pixel sees is told by its row and column.
fn phases(kernel: usize, padding: usize) -> [Patches; 4] {
    let along = |phase: usize| {
        let first_tap = (phase + padding) % 2;
        let size = (kernel + 1 - first_tap) / 2;
        let last_tap = first_tap + 2 * size.saturating_sub(1);
        (((phase + padding) as isize - last_tap as isize) / 2, size)
    };
    [(0, 0), (0, 1), (1, 0), (1, 1)].map(|phase| {
        let (rows, columns) = (along(phase.0), along(phase.1));
        let (first, size) = ((rows.0, columns.0), (rows.1, columns.1));
        Patches { first, size, source_step: 1, target_step: 2, target_first: phase }
    })
}

/// Asserts that both ways give the truth, with everything that may become of a sum.
fn assert_exact(source: &View, target: &View, all: &[Patches]) {
    let (c, k) = (source.padded(), target.padded());
    let [x, bias, addend, gate] = [source.span(), k, target.span(), target.span()]
        .map(|len| random(len, len as u32 + all[0].first.0.unsigned_abs() as u32));
    let weights: Vec<_> = (5..).zip(all).map(|(seed, patches)| random(patches.taps() * c * k, seed)).collect();
    let epilogue = Epilogue {
        bias: Some(&bias[..]),
        slope: 0.1,
        addend: Some((target, &addend[..])),
        gate: Some(((target, &gate[..]), 0.2)),
    };
    let [x64, bias64, addend64, gate64] = [&x, &bias, &addend, &gate].map(|v| doubles(v));
    let weights64: Vec<_> = weights.iter().map(|weights| doubles(weights)).collect();
    let exact = Epilogue {
        bias: Some(&bias64[..]),
        slope: 0.1,
        addend: Some((target, &addend64[..])),
        gate: Some(((target, &gate64[..]), 0.2)),
    };
    let mut truth = vec![0.0; target.span()];
    let sets = all.iter().copied().zip(weights64.iter().map(|weights| &weights[..]));
    f64::convolve((source, &x64), (target, &mut truth), sets, &mut Packed::default(), &exact);
    for isa in ISAS {
        let (mut y, mut direct) = (vec![0.0; target.span()], vec![0.0; target.span()]);
        let sets = || all.iter().copied().zip(weights.iter().map(|weights| &weights[..]));
        winograd::convolve(isa, (source, &x), (target, &mut y), sets(), &mut Packed::default(), &epilogue);
        direct::convolve(isa, (source, &x), (target, &mut direct), sets(), &mut Packed::default(), &epilogue);
        let errors = [error(&truth, &y), error(&truth, &direct)];
        let fits = errors.iter().all(|&e| e < TOLERANCE);
        assert!(fits, "{:?}, {c} to {k}, {all:?}, {isa:?}: {errors:?}", target.shape);
    }
}

#[test]
fn results_are_those_of_the_truth_within_single_precision() {
    for [n, h, w, c, k] in SHAPES {
        let target = view([n, h, w], k, [8, 0]);
        for padding in [0, 1, 2] {
            let source = view([n, h + 2 - 2 * padding.min(1), w + 2 - 2 * padding.min(1)], c, [4, 8]);
            assert_exact(&source, &target, &[patches(padding as isize)]);
        }
        let source = view([n, h.div_ceil(2), w.div_ceil(2)], c, [4, 8]);
        for (kernel, padding) in [(3, 0), (3, 1), (4, 1), (4, 2)] {
            assert_exact(&source, &target, &phases(kernel, padding));
        }
    }
}

#[test]
fn filter_gradients_are_those_of_the_truth_within_single_precision() {
    for [n, h, w, c, k] in SHAPES {
        let (source, target) = (view([n, h, w], c, [0, 4]), view([n, h, w], k, [4, 4]));
        let (x, dy) = (random(source.span(), 3), random(target.span(), 4));
        let patches = patches(1);
        let (mut dw, mut db) = (vec![0.0; 9 * c * k], vec![0.0; k]);
        f64::correlate((&source, &doubles(&x)), (&target, &doubles(&dy)), &patches, &mut dw, &mut db);
        for isa in ISAS {
            for way in [winograd::correlate, direct::correlate] {
                let (mut dw32, mut db32) = (vec![1.0; 9 * c * k], vec![1.0; k]);
                way(isa, (&source, &x), (&target, &dy), &patches, &mut dw32, &mut db32);
                let errors = [error(&dw, &dw32), error(&db, &db32)];
                assert!(errors.iter().all(|&e| e < TOLERANCE), "{n}x{h}x{w}, {c} to {k}, {isa:?}: {errors:?}");
            }
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let (source, target) = (view([3, 21, 40], 32, [0, 0]), view([3, 21, 40], 48, [0, 0]));
    let (x, dy, weights) = (random(source.span(), 1), random(target.span(), 2), random(9 * 32 * 48, 3));
    let epilogue = Epilogue { bias: None, slope: 1.0, addend: None, gate: None };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (mut y, mut dw, mut db) = (vec![0.0; target.span()], vec![0.0; weights.len()], vec![0.0; 48]);
            winograd::convolve(
                Isa::Native,
                (&source, &x),
                (&target, &mut y),
                std::iter::once((patches(1), &weights[..])),
                &mut Packed::default(),
                &epilogue,
            );
            let mut up = vec![0.0; 3 * 42 * 80 * 48];
            let sets = phases(3, 1).into_iter().map(|patches| (patches, &weights[..patches.taps() * 32 * 48]));
            let twice = view([3, 42, 80], 48, [0, 0]);
            winograd::convolve(Isa::Native, (&source, &x), (&twice, &mut up), sets, &mut Packed::default(), &epilogue);
            winograd::correlate(Isa::Native, (&source, &x), (&target, &dy), &patches(1), &mut dw, &mut db);
            // The same in the direct way.
            let (mut z, mut du, mut dc) = (y.clone(), dw.clone(), db.clone());
            let set = std::iter::once((patches(1), &weights[..]));
            direct::convolve(Isa::Native, (&source, &x), (&target, &mut z), set, &mut Packed::default(), &epilogue);
            direct::correlate(Isa::Native, (&source, &x), (&target, &dy), &patches(1), &mut du, &mut dc);
            [y, dw, db, z, du, dc, up].map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
        })
    };
    let one = run(1);
    for threads in [2, 7, 64] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

#[test]
fn very_small_and_very_large_numbers_lose_no_more_than_others() {
    let view = view([1, 9, 9], 16, [0, 0]);
    let epilogue = Epilogue { bias: None, slope: 1.0, addend: None, gate: None };
    let exact = Epilogue { bias: None, slope: 1.0, addend: None, gate: None };
    // Sums of 144 products: of up to 1e36, of 1e-32, and of numbers so small that fewer bits are left than a float has.
    for (of_x, of_weights, least) in [(1e18, 1e15, 0.0), (1e-16, 1e-16, 0.0), (1e-39, 1.0, 144.0 * 2_f64.powi(-149))] {
        let x: Vec<f32> = random(view.span(), 1).iter().map(|x| x * of_x).collect();
        let weights: Vec<f32> = random(9 * 16 * 16, 2).iter().map(|w| w * of_weights).collect();
        let (mut y, mut truth) = (vec![0.0; view.span()], vec![0.0; view.span()]);
        let set = std::iter::once((patches(1), &weights[..]));
        winograd::convolve(Isa::Native, (&view, &x), (&view, &mut y), set, &mut Packed::default(), &epilogue);
        f64::convolve(
            (&view, &doubles(&x)),
            (&view, &mut truth),
            std::iter::once((patches(1), &doubles(&weights)[..])),
            &mut Packed::default(),
            &exact,
        );
        let square = |values: &mut dyn Iterator<Item = f64>| (values.map(|v| v * v).sum::<f64>() / truth.len() as f64).sqrt();
        let error = square(&mut truth.iter().zip(&y).map(|(t, &y)| t - f64::from(y)));
        let size = square(&mut truth.iter().copied());
        assert!(error < size * TOLERANCE.sqrt() + least, "{of_x:e} times {of_weights:e}: {error:e} of {size:e}");
    }
}

#[test]
fn what_is_not_finite_stays_within_the_tiles_that_see_it() {
    let (source, target) = (view([1, 24, 24], 16, [0, 0]), view([1, 24, 24], 16, [0, 0]));
    let (mut x, weights) = (random(source.span(), 1), random(9 * 16 * 16, 2));
    let epilogue = Epilogue { bias: None, slope: 1.0, addend: None, gate: None };
    for bad in [f32::NAN, f32::INFINITY] {
        // The first pixel of the tile (2, 2): the tiles above and to the left of it see it too.
        x[(8 * 24 + 8) * 16] = bad;
        let mut y = vec![0.0; target.span()];
        let set = std::iter::once((patches(1), &weights[..]));
        winograd::convolve(Isa::Native, (&source, &x), (&target, &mut y), set, &mut Packed::default(), &epilogue);
        for (p, y) in y.chunks_exact(16).enumerate() {
            let inside = (4..12).contains(&(p / 24)) && (4..12).contains(&(p % 24));
            assert!(inside || y.iter().all(|y| y.is_finite()), "{bad} in pixel {p}");
        }
        assert!(!y[(8 * 24 + 8) * 16].is_finite(), "{bad} is lost");
    }
}

#[test]
fn the_way_of_a_convolution_is_told_by_its_shape() {
    let shapes = [
        ([30, 32, 32], 48, 48, 1, true),
        ([1, 4, 4], 16, 16, 1, true),
        ([1, 4, 4], 8, 8, 1, true),
        ([1, 3, 64], 48, 48, 1, false),
        ([1, 64, 64], 4, 48, 1, false),
        ([1, 64, 64], 48, 4, 1, false),
        ([1, 64, 64], 512, 1024, 1, false),
        ([1, 64, 64], 48, 48, 2, false),
    ];
    for (size, c, k, step, winograd) in shapes {
        let patches = Patches { source_step: step, ..patches(1) };
        let pays = winograd::pays(std::iter::once(patches), &view(size, c, [0, 0]), &view(size, k, [0, 0]));
        assert_eq!(pays, winograd, "{size:?}, {c} to {k}, stride {step}");
    }
    let transposed = [
        ([30, 8, 8], 48, 48, 3, true),
        ([30, 8, 8], 48, 48, 4, true),
        ([1, 7, 64], 48, 48, 3, false),
        ([1, 64, 64], 48, 4, 3, false),
        // Phases of no taps, of one, and of three.
        ([1, 64, 64], 48, 48, 1, false),
        ([1, 64, 64], 48, 48, 2, false),
        ([1, 64, 64], 48, 48, 5, false),
        // Too many transformed filters.
        ([1, 64, 64], 720, 720, 3, false),
        ([1, 64, 64], 480, 480, 4, false),
        ([1, 64, 64], 400, 400, 4, true),
    ];
    for (size, c, k, kernel, winograd) in transposed {
        let sets = phases(kernel, kernel / 2).into_iter();
        let pays = winograd::pays(sets.clone(), &view(size, c, [0, 0]), &view(size, k, [0, 0]));
        assert_eq!(pays, winograd, "{size:?}, {c} to {k}, transposed, windows of {kernel}");
        let thirds = sets.map(|patches| Patches { target_step: 3, ..patches });
        assert!(!winograd::pays(thirds, &view(size, c, [0, 0]), &view(size, k, [0, 0])), "stride 3");
    }
}

/// The last register of a pixel is loaded whole, and so with what lies behind its channels.
#[test]
fn channels_around_a_view_do_not_matter() {
    let (source, target) = (view([2, 9, 10], 20, [4, 8]), view([2, 9, 10], 12, [4, 4]));
    let around = |view: &View, values: &[f32]| {
        let is_own = |i: usize| (view.channel..view.channel + view.padded()).contains(&(i % view.stride));
        (0..).zip(values).map(|(i, &v)| if is_own(i) { v } else { f32::NAN }).collect::<Vec<_>>()
    };
    let (x, dy, weights) = (random(source.span(), 1), random(target.span(), 2), random(9 * 20 * 12, 3));
    let epilogue = Epilogue { bias: None, slope: 1.0, addend: None, gate: None };
    for isa in ISAS {
        let run = |x: &[f32], dy: &[f32]| {
            let (mut y, mut up) = (vec![0.0; target.span()], vec![0.0; 2 * 18 * 20 * 12]);
            let (mut dw, mut db) = (vec![0.0; weights.len()], vec![0.0; 12]);
            let set = std::iter::once((patches(1), &weights[..]));
            winograd::convolve(isa, (&source, x), (&target, &mut y), set, &mut Packed::default(), &epilogue);
            let sets = phases(3, 1).into_iter().map(|patches| (patches, &weights[..patches.taps() * 20 * 12]));
            let twice = view([2, 18, 20], 12, [0, 0]);
            winograd::convolve(isa, (&source, x), (&twice, &mut up), sets, &mut Packed::default(), &epilogue);
            winograd::correlate(isa, (&source, x), (&target, dy), &patches(1), &mut dw, &mut db);
            [y, up, dw, db]
        };
        assert!(run(&x, &dy) == run(&around(&source, &x), &around(&target, &dy)), "{isa:?}");
    }
}
