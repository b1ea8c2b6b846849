//! Curves between values of pictures and what networks work on: of linear values without an upper end, noise and detail are then
//! alike at every brightness.

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
/// e ln(y + f) + g. `X0` and `X1` are the same places on the scale.
pub(crate) mod pu {
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

    /// What 65,504 is on it.
    pub(crate) fn largest() -> f32 {
        E * (65504.0 + F).ln() + G
    }
}

impl Transfer {
    /// What a network works on, of a picture's value.
    pub fn forward(self, value: f32) -> f32 {
        let y = match self {
            Self::None => return value,
            Self::Pu => value.max(0.0),
        };
        let x = match y {
            y if y <= pu::Y0 => pu::A * y,
            y if y <= pu::Y1 => pu::B * y.powf(pu::C) + pu::D,
            y => pu::E * (y + pu::F).ln() + pu::G,
        };
        x / pu::largest()
    }

    /// The picture's value, of what a network made.
    pub fn inverse(self, value: f32) -> f32 {
        let x = match self {
            Self::None => return value,
            Self::Pu => value * pu::largest(),
        };
        match x {
            x if x <= pu::X0 => x / pu::A,
            x if x <= pu::X1 => ((x - pu::D) / pu::B).powf(1.0 / pu::C),
            x => ((x - pu::G) / pu::E).exp() - pu::F,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Transfer;

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

    /// The pieces meet where they should.
    #[test]
    fn the_curve_has_no_steps() {
        for at in [super::pu::Y0, super::pu::Y1] {
            let [below, above] = [0.9999, 1.0001].map(|factor| Transfer::Pu.forward(factor * at));
            assert!(below < above && above - below < 1e-3 * above, "{below} and {above} at {at}");
        }
    }
}
