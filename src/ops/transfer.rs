//! Curves between values of pictures and what networks work on: of linear values without an upper end, noise and detail are then
//! alike at every brightness.

use crate::cpu::Real;

/// What happens to values of pictures on their way to a network, before they are brought to its range; and the inverse after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transfer {
    /// Nothing.
    #[default]
    None,
    /// Linear values from 0, as of a renderer, to a scale of equal visibility (perceptually uniform, Aydın et al. 2008), on which
    /// 65,504, the largest of half precision, is 1.
    Pu,
}

/// The scale in three pieces, as Intel Open Image Denoise fits it (`core/color.h`): a y up to `Y0`, b y^c + d up to `Y1`, and
/// e ln(y + f) + g. `X0` and `X1` are the same places on the scale. Kernels have it from `shaders/lib/pu.wgsl`.
pub(crate) mod pu {
    use crate::cpu::Real;

    pub(crate) const A: f32 = 1.412_837_7e3;
    pub(crate) const B: f32 = 1.645_931_7;
    pub(crate) const C: f32 = 0.431_384_98;
    pub(crate) const D: f32 = -2.941_396e-3;
    pub(crate) const E: f32 = 0.192_653_25;
    pub(crate) const F: f32 = 6.260_261e-3;
    pub(crate) const G: f32 = 0.998_620_15;
    pub(crate) const Y0: f32 = 1.579_457_6e-6;
    pub(crate) const Y1: f32 = 3.220_876_3e-2;
    pub(crate) const X0: f32 = 2.231_517e-3;
    pub(crate) const X1: f32 = 0.370_974_75;
    /// Where losses cut the scale off, lest values overflow.
    const END: f32 = 16.0;

    /// What 65,504 is on it.
    pub(crate) fn largest() -> f32 {
        E * (65504.0 + F).ln() + G
    }

    fn real<T: Real>(constant: f32) -> T {
        T::of(constant.into())
    }

    /// Of a linear value, over [`largest`].
    pub(crate) fn forward<T: Real>(value: T) -> T {
        let y = value.max(T::zero());
        let x = match y {
            y if y <= real(Y0) => real::<T>(A) * y,
            y if y <= real(Y1) => real::<T>(B) * y.powf(real(C)) + real(D),
            y => real::<T>(E) * (y + real(F)).ln() + real(G),
        };
        x / real(largest())
    }

    /// The inverse.
    pub(crate) fn inverse<T: Real>(value: T) -> T {
        let x = value * real(largest());
        match x {
            x if x <= real(X0) => x / real(A),
            x if x <= real(X1) => ((x - real(D)) / real(B)).powf(T::one() / real(C)),
            x => ((x - real(G)) / real(E)).exp() - real(F),
        }
    }

    /// The inverse, of very large values cut off, and its derivative.
    pub(crate) fn inverse_and_slope<T: Real>(value: T) -> [T; 2] {
        let x = value.min(real::<T>(END) / real(largest()));
        let y = inverse(x);
        let x = x * real(largest());
        let slope = match x {
            x if x <= real(X0) => T::one() / real(A),
            x if x <= real(X1) => y / (real::<T>(C) * (x - real(D))),
            _ => (y + real(F)) / real(E),
        };
        [y, slope * real(largest())]
    }
}

impl Transfer {
    /// What a network works on, of a picture's value.
    pub fn forward(self, value: f32) -> f32 {
        self.forward_real(value)
    }

    pub(super) fn forward_real<T: Real>(self, value: T) -> T {
        match self {
            Self::None => value,
            Self::Pu => pu::forward(value),
        }
    }

    /// The picture's value, of what a network made.
    pub fn inverse(self, value: f32) -> f32 {
        match self {
            Self::None => value,
            Self::Pu => pu::inverse(value),
        }
    }

    /// Whether it is for linear values, as of a renderer, and not for those of a display.
    pub fn is_linear(self) -> bool {
        self == Self::Pu
    }
}

#[cfg(test)]
mod tests {
    use super::{Transfer, pu};

    #[test]
    fn values_of_any_brightness_come_back() {
        for exponent in -30..=15 {
            let value = 1.7f32 * 2f32.powi(exponent);
            let back = Transfer::Pu.inverse(Transfer::Pu.forward(value));
            // The curve is so flat at the upper end that rounding there is 1e-7 * 65504 / 0.19 of a value.
            assert!((back - value).abs() <= 1e-4 * value, "{value} comes back as {back}");
        }
        assert_eq!(Transfer::Pu.forward(-1.0), 0.0);
        assert!((Transfer::Pu.forward(65504.0) - 1.0).abs() < 1e-6);
        assert_eq!(Transfer::None.inverse(Transfer::None.forward(-0.3)), -0.3);
    }

    /// Where the curve is smooth, and above its end.
    #[test]
    fn the_slope_is_that_of_the_inverse() {
        for value in [-0.1, 0.0003, 0.05, 0.11, 0.2, 0.7, 1.2] {
            let [[below, _], [_, slope], [above, _]] = [-1e-6, 0.0, 1e-6].map(|step| pu::inverse_and_slope(value + step));
            assert!(((above - below) / 2e-6 / slope - 1.0_f64).abs() < 1e-3, "{slope} at {value}");
        }
        assert!(pu::inverse_and_slope(1e30_f32).iter().all(|v| v.is_finite() && *v > 0.0));
    }

    /// The pieces meet where they should.
    #[test]
    fn the_curve_has_no_steps() {
        for at in [super::pu::Y0, super::pu::Y1] {
            let [below, above] = [0.9999, 1.0001].map(|factor| Transfer::Pu.forward(factor * at));
            assert!(below < above && above - below < 1e-3 * above, "{below} and {above} at {at}");
        }
    }
}
