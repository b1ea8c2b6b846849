//! PSNR and SSIM: laws, and values of scikit-image.

use n2n_gpu::data::metrics::{mse, psnr, round8, ssim};

/// The stabiliser of SSIM's luminance term, for values in [0, 1] (Wang et al. 2004).
const C1: f64 = 0.01 * 0.01;

/// `(H, W, 3)` values in `[0, 255]` that any language can compute exactly: `(7 x + 13 y + 31 c + x y) mod 256`.
fn pattern(width: usize, height: usize) -> Vec<f32> {
    let at = |i: usize| (i / 3 % width, i / 3 / width, i % 3);
    (0..3 * width * height).map(at).map(|(x, y, c)| ((7 * x + 13 * y + 31 * c + x * y) % 256) as f32).collect()
}

/// `pattern` in `[0, 1]`, and the same a little darker and with a checkerboard over it.
fn two_pictures(width: usize, height: usize) -> (Vec<f32>, Vec<f32>) {
    let a = pattern(width, height);
    let b = a.iter().enumerate().map(|(i, &v)| v * 0.75 + 16.0 * (1 - i / 3 % width % 2) as f32);
    (a.iter().map(|v| v / 255.0).collect(), b.map(|v| v / 255.0).collect())
}

#[test]
fn identical_pictures_have_infinite_psnr_and_ssim_one() {
    let (a, _) = two_pictures(20, 15);
    assert_eq!(psnr(&a, &a), f64::INFINITY);
    assert!((ssim(&a, &a, 20, 15) - 1.0).abs() < 1e-12);
}

#[test]
fn a_shift_by_a_tenth_is_twenty_decibels() {
    let (a, b) = (vec![0.25_f32; 300], vec![0.35_f32; 300]);
    // 0.35 - 0.25 is 0.1 within one f32 rounding of 0.35 (3e-8), which is 2.6e-6 dB.
    assert!((psnr(&a, &b) - 20.0).abs() < 5e-6, "{}", psnr(&a, &b));
    assert!((mse(&[0.0, 0.5], &[1.0, 0.5]) - 0.5).abs() < 1e-15);
}

#[test]
fn ssim_of_two_flat_pictures_is_the_luminance_term() {
    let (a, b) = (vec![0.25_f32; 3 * 12 * 12], vec![0.5_f32; 3 * 12 * 12]);
    let expected = (2.0 * 0.25 * 0.5 + C1) / (0.25 * 0.25 + 0.5 * 0.5 + C1);
    assert!((ssim(&a, &b, 12, 12) - expected).abs() < 1e-12);
}

#[test]
fn ssim_agrees_with_scikit_image() {
    let (a, b) = two_pictures(24, 17);
    // scikit-image 0.26.0: structural_similarity(a, b, channel_axis=2, data_range=1, gaussian_weights=True,
    // sigma=1.5, use_sample_covariance=False) on the f32 values widened to f64.
    assert!((ssim(&a, &b, 24, 17) - 0.929710109191).abs() < 1e-9, "{}", ssim(&a, &b, 24, 17));
}

#[test]
fn pictures_smaller_than_the_window_have_an_ssim() {
    for (width, height) in [(1, 1), (3, 40), (40, 3), (10, 10)] {
        let (a, b) = two_pictures(width, height);
        assert!((ssim(&a, &a, width, height) - 1.0).abs() < 1e-12);
        let value = ssim(&a, &b, width, height);
        assert!((-1.0..1.0).contains(&value), "{width}x{height}: {value}");
    }
    // One pixel is its own mean and has no variance: the luminance term again.
    let expected = (2.0 * 0.25 * 0.5 + C1) / (0.25 * 0.25 + 0.5 * 0.5 + C1);
    assert!((ssim(&[0.25; 3], &[0.5; 3], 1, 1) - expected).abs() < 1e-12);
}

#[test]
fn bytes_measure_as_their_values_do() {
    let (a, b) = two_pictures(20, 15);
    let bytes: Vec<u8> = a.iter().map(|v| (v * 255.0).round() as u8).collect();
    let mut values = a;
    round8(&mut values);
    assert_eq!(psnr(&bytes, &b), psnr(&values, &b));
    assert_eq!(ssim(&b, &bytes, 20, 15), ssim(&b, &values, 20, 15));
}

#[test]
fn round8_gives_the_values_of_an_eight_bit_file() {
    let mut x = [-0.5, 0.0, 0.5, 100.4 / 255.0, 1.0, 7.0, f32::NAN];
    round8(&mut x);
    assert_eq!(x[..6], [0.0, 0.0, 128.0 / 255.0, 100.0 / 255.0, 1.0, 1.0]);
    assert!(x[6].is_nan() && psnr(&x, &[0.0; 7]).is_nan());
}
