//! What values of files mean for a network, which expects about `[0, 1]` as on a display.
//!
//! Files of linear light (OpenEXR, Radiance HDR, PFM) go from 0 to thousands, a few below 0. A network gets them by the curve of
//! sRGB up to 1, by a logarithm above, and mirrored below 0:
//!
//! ```text
//! f(x) = 12.92 x                        0 <= x <= 0.0031308
//!        1.055 x^(1/2.4) - 0.055        up to 1
//!        1 + (1.055 / 2.4) ln x         above: the slope at 1 is that of the curve below
//! f(-x) = -f(x)
//! ```
//!
//! It has an inverse everywhere, and nothing is clamped: 10,000 becomes 5.05. Rounding in single precision costs 2e-6 of a value
//! at most, a hundredth of what half precision resolves.

/// Slope of the sRGB curve at 1.
const SLOPE: f32 = 1.055 / 2.4;

/// What the colour values of a picture are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transfer {
    /// As for a display: what a network wants.
    Display,
    /// Linear light.
    Linear,
    /// What an instrument has measured: a network wants it as it is.
    Measured,
    /// Whole numbers up to this one, for a network that reads floats which count alike.
    Counts(u16),
    /// Floats that count, for a network that reads whole numbers of 16 bits, as shares of the largest.
    Shares,
}

impl Transfer {
    /// Whether values of both mean the same. What is no light means whatever a file says.
    pub(super) fn is_same(self, other: Self) -> bool {
        let is_light = |transfer: Self| matches!(transfer, Self::Display | Self::Linear);
        self == other || !is_light(self) || !is_light(other)
    }

    /// The value for a network of one in a file.
    pub(super) fn encode(self, value: f32) -> f32 {
        let x = value.abs();
        let encoded = match self {
            Self::Display | Self::Measured => return value,
            Self::Counts(largest) => return value * f32::from(largest),
            Self::Shares => return value / f32::from(u16::MAX),
            Self::Linear if x <= 0.003_130_8 => 12.92 * x,
            Self::Linear if x <= 1.0 => 1.055 * x.powf(1.0 / 2.4) - 0.055,
            Self::Linear => 1.0 + SLOPE * x.ln(),
        };
        encoded.copysign(value)
    }

    /// The inverse.
    pub(super) fn decode(self, value: f32) -> f32 {
        let y = value.abs();
        let decoded = match self {
            Self::Display | Self::Measured => return value,
            Self::Counts(largest) => return value / f32::from(largest),
            Self::Shares => return value * f32::from(u16::MAX),
            Self::Linear if y <= 0.040_45 => y / 12.92,
            Self::Linear if y <= 1.0 => ((y + 0.055) / 1.055).powf(2.4),
            Self::Linear => ((y - 1.0) / SLOPE).exp(),
        };
        decoded.copysign(value)
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::*;

    #[test]
    fn every_half_comes_back_and_values_rise() {
        let mut last = f32::NEG_INFINITY;
        let finite = (0..=u16::MAX).map(f16::from_bits).filter(|v| v.is_finite());
        let mut all: Vec<f32> = finite.map(f16::to_f32).collect();
        all.sort_by(f32::total_cmp);
        for value in all {
            let encoded = Transfer::Linear.encode(value);
            assert!(encoded >= last, "{value}");
            last = encoded;
            let back = Transfer::Linear.decode(encoded);
            assert_eq!(f16::from_f32(back), f16::from_f32(value));
            assert!((back - value).abs() <= 2e-6 * value.abs(), "{value} comes back as {back}");
        }
    }

    #[test]
    fn the_curve_is_that_of_srgb_up_to_one_and_smooth_above() {
        let near = |a: f32, b: f32| assert!((a - b).abs() < 1e-3, "{a} is not {b}");
        near(Transfer::Linear.encode(0.214), 0.5);
        near(Transfer::Linear.encode(1.0), 1.0);
        near(Transfer::Linear.encode(-0.214), -0.5);
        near(Transfer::Linear.encode(10_000.0), 5.049);
        let slope = |x: f32| (Transfer::Linear.encode(x + 0.01) - Transfer::Linear.encode(x)) / 0.01;
        assert!((slope(0.99) - slope(1.0)).abs() < 0.01);
        assert_eq!([Transfer::Display, Transfer::Measured].map(|t| t.encode(-7.0)), [-7.0; 2]);
    }
}
