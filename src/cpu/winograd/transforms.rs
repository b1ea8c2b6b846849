//! The transforms of F(4x4, 3x3) with the points 0, ±3/4, ±3/2 and infinity (Lavin and Gray 2016; the construction is Toom and
//! Cook's). With a filter g, an input tile d and a result y: y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A. The usual points 0, ±1, ±2 would
//! make the mean square of rounding errors more than four times as large. Windows of two taps, F(4, 2), go without -3/2.
//!
//! No closures here: one that is not inlined is compiled without the processor's wide registers.

use pulp::Simd;

use super::{POINTS, SEEN, TILE};

/// The points beside 0 and infinity are ±A and ±B, and their squares.
const A: f32 = 0.75;
const B: f32 = 1.5;
const AA: f32 = A * A;
const BB: f32 = B * B;
/// One over the product of the distances from a point to the others: at 0, ±A and ±B.
const AT_ZERO: f32 = 1.0 / (AA * BB);
const AT_A: f32 = 1.0 / (2.0 * AA * (AA - BB));
const AT_B: f32 = 1.0 / (2.0 * BB * (BB - AA));

/// A transform of `I` values to `O`, along one dimension.
pub(super) trait Transform<const I: usize, const O: usize> {
    fn apply<S: Simd>(simd: S, x: [S::f32s; I]) -> [S::f32s; O];
}

/// Registers of a tile, by row and column.
pub(super) trait Load<S: Simd> {
    fn load(&self, simd: S, row: usize, column: usize) -> S::f32s;
}

/// Where the registers of a transformed tile go, by row and column.
pub(super) trait Store<S: Simd> {
    fn store(&mut self, row: usize, column: usize, value: S::f32s);
}

impl<S: Simd, const N: usize, const M: usize> Load<S> for [[S::f32s; N]; M] {
    #[inline(always)]
    fn load(&self, _simd: S, row: usize, column: usize) -> S::f32s {
        self[row][column]
    }
}

impl<S: Simd, const N: usize> Store<S> for [[S::f32s; N]; N] {
    #[inline(always)]
    fn store(&mut self, row: usize, column: usize, value: S::f32s) {
        self[row][column] = value;
    }
}

/// A register at all points, one after the other.
pub(super) struct Points<'a, R>(pub(super) &'a [R; POINTS]);

impl<S: Simd> Load<S> for Points<'_, S::f32s> {
    #[inline(always)]
    fn load(&self, _simd: S, row: usize, column: usize) -> S::f32s {
        self.0[row * SEEN + column]
    }
}

/// The registers of planes that lie `step` apart, one of each; planes are numbered row by row, `columns` to a row.
pub(super) struct Planes<P> {
    pub(super) registers: P,
    pub(super) step: usize,
    pub(super) columns: usize,
}

impl<S: Simd> Load<S> for Planes<&[S::f32s]> {
    #[inline(always)]
    fn load(&self, _simd: S, row: usize, column: usize) -> S::f32s {
        self.registers[(row * self.columns + column) * self.step]
    }
}

impl<S: Simd> Store<S> for Planes<&mut [S::f32s]> {
    #[inline(always)]
    fn store(&mut self, row: usize, column: usize, value: S::f32s) {
        self.registers[(row * self.columns + column) * self.step] = value;
    }
}

/// Writes out a block for every number below six. Loops of transforms are too long to be unrolled by themselves: their registers
/// would lie in memory.
macro_rules! unrolled {
    ($n:ident, $block:block) => {
        unrolled!($n, $block, 0 1 2 3 4 5)
    };
    ($n:ident, $block:block, $($value:literal)*) => {
        $({
            const $n: usize = $value;
            $block
        })*
    };
}

/// The transform `Down` the columns of `ROWS_IN` values, then `Across` the rows of `COLUMNS_IN`.
#[inline(always)]
pub(super) fn both<
    S,
    Down,
    Across,
    const ROWS_IN: usize,
    const COLUMNS_IN: usize,
    const ROWS_OUT: usize,
    const COLUMNS_OUT: usize,
>(
    simd: S,
    from: &impl Load<S>,
    to: &mut impl Store<S>,
) where
    S: Simd,
    Down: Transform<ROWS_IN, ROWS_OUT>,
    Across: Transform<COLUMNS_IN, COLUMNS_OUT>,
{
    let zero = simd.splat_f32s(0.0);
    let mut columns = [[zero; ROWS_OUT]; COLUMNS_IN];
    unrolled!(J, {
        if J < COLUMNS_IN {
            let mut column = [zero; ROWS_IN];
            for (i, value) in column.iter_mut().enumerate() {
                *value = from.load(simd, i, J);
            }
            columns[J] = Down::apply(simd, column);
        }
    });
    unrolled!(ROW, {
        if ROW < ROWS_OUT {
            let mut row = [zero; COLUMNS_IN];
            for (value, column) in row.iter_mut().zip(&columns) {
                *value = column[ROW];
            }
            for (j, value) in Across::apply(simd, row).into_iter().enumerate() {
                to.store(ROW, j, value);
            }
        }
    });
}

/// c * x.
#[inline(always)]
fn times<S: Simd>(simd: S, c: f32, x: S::f32s) -> S::f32s {
    simd.mul_f32s(simd.splat_f32s(c), x)
}

/// c * x + y.
#[inline(always)]
fn fma<S: Simd>(simd: S, c: f32, x: S::f32s, y: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(c), x, y)
}

/// Sum and difference: what is even and what is odd in a pair of points.
#[inline(always)]
fn fold<S: Simd>(simd: S, x: S::f32s, y: S::f32s) -> (S::f32s, S::f32s) {
    (simd.add_f32s(x, y), simd.sub_f32s(x, y))
}

/// Bᵀ d: six input pixels at the six points.
pub(super) struct Input;

impl Transform<6, 6> for Input {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, d: [S::f32s; 6]) -> [S::f32s; 6] {
        let (even_a, odd_a) = (fma(simd, -BB, d[2], d[4]), fma(simd, -BB, d[1], d[3]));
        let (even_b, odd_b) = (fma(simd, -AA, d[2], d[4]), fma(simd, -AA, d[1], d[3]));
        [
            fma(simd, AA * BB, d[0], fma(simd, -AA - BB, d[2], d[4])),
            fma(simd, A, odd_a, even_a),
            fma(simd, -A, odd_a, even_a),
            fma(simd, B, odd_b, even_b),
            fma(simd, -B, odd_b, even_b),
            fma(simd, AA * BB, d[1], fma(simd, -AA - BB, d[3], d[5])),
        ]
    }
}

/// Aᵀ m: four result pixels from the products at the six points.
pub(super) struct Output;

impl Transform<6, 4> for Output {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, m: [S::f32s; 6]) -> [S::f32s; 4] {
        let ((even_a, odd_a), (even_b, odd_b)) = (fold(simd, m[1], m[2]), fold(simd, m[3], m[4]));
        [
            simd.add_f32s(m[0], simd.add_f32s(even_a, even_b)),
            fma(simd, A, odd_a, times(simd, B, odd_b)),
            fma(simd, AA, even_a, times(simd, BB, even_b)),
            fma(simd, AA * A, odd_a, fma(simd, BB * B, odd_b, m[5])),
        ]
    }
}

/// A dy, the adjoint of [`Output`].
pub(super) struct OutputAdjoint;

impl Transform<4, 6> for OutputAdjoint {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, y: [S::f32s; 4]) -> [S::f32s; 6] {
        let (even_a, odd_a) = (fma(simd, AA, y[2], y[0]), fma(simd, AA, y[3], y[1]));
        let (even_b, odd_b) = (fma(simd, BB, y[2], y[0]), fma(simd, BB, y[3], y[1]));
        [
            y[0],
            fma(simd, A, odd_a, even_a),
            fma(simd, -A, odd_a, even_a),
            fma(simd, B, odd_b, even_b),
            fma(simd, -B, odd_b, even_b),
            y[3],
        ]
    }
}

/// G g: three weights at the six points.
pub(super) struct Filter;

impl Transform<3, 6> for Filter {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, g: [S::f32s; 3]) -> [S::f32s; 6] {
        let even_a = fma(simd, AT_A, g[0], times(simd, AT_A * AA, g[2]));
        let even_b = fma(simd, AT_B, g[0], times(simd, AT_B * BB, g[2]));
        let (a, minus_a) = fold(simd, even_a, times(simd, AT_A * A, g[1]));
        let (b, minus_b) = fold(simd, even_b, times(simd, AT_B * B, g[1]));
        [times(simd, AT_ZERO, g[0]), a, minus_a, b, minus_b, g[2]]
    }
}

/// Gᵀ u, the adjoint of [`Filter`].
pub(super) struct FilterAdjoint;

impl Transform<6, 3> for FilterAdjoint {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, u: [S::f32s; 6]) -> [S::f32s; 3] {
        let ((even_a, odd_a), (even_b, odd_b)) = (fold(simd, u[1], u[2]), fold(simd, u[3], u[4]));
        [
            fma(simd, AT_ZERO, u[0], fma(simd, AT_A, even_a, times(simd, AT_B, even_b))),
            fma(simd, AT_A * A, odd_a, times(simd, AT_B * B, odd_b)),
            fma(simd, AT_A * AA, even_a, fma(simd, AT_B * BB, even_b, u[5])),
        ]
    }
}

/// One over the product of the distances from a point to the others, where -B is none of them: at 0, A, -A and B.
const HALF_AT_ZERO: f32 = 1.0 / (AA * B);
const HALF_AT_A: f32 = 1.0 / (2.0 * AA * (A - B));
const HALF_AT_MINUS_A: f32 = -1.0 / (2.0 * AA * (A + B));
const HALF_AT_B: f32 = 1.0 / (B * (BB - AA));

/// As [`Input`] for two taps: five input pixels at the points 0, ±3/4, 3/2 and infinity.
pub(super) struct InputOfTwo;

impl Transform<5, 5> for InputOfTwo {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, d: [S::f32s; 5]) -> [S::f32s; 5] {
        let (even, odd) = (fma(simd, -B, d[2], d[3]), fma(simd, -B, d[1], d[2]));
        [
            fma(simd, -AA, fma(simd, -B, d[0], d[1]), even),
            fma(simd, A, odd, even),
            fma(simd, -A, odd, even),
            fma(simd, -AA, d[1], d[3]),
            fma(simd, -AA, odd, fma(simd, -B, d[3], d[4])),
        ]
    }
}

/// As [`Output`] for two taps.
pub(super) struct OutputOfTwo;

impl Transform<5, 4> for OutputOfTwo {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, m: [S::f32s; 5]) -> [S::f32s; 4] {
        let (even, odd) = fold(simd, m[1], m[2]);
        [
            simd.add_f32s(m[0], simd.add_f32s(even, m[3])),
            fma(simd, A, odd, times(simd, B, m[3])),
            fma(simd, AA, even, times(simd, BB, m[3])),
            fma(simd, AA * A, odd, fma(simd, BB * B, m[3], m[4])),
        ]
    }
}

/// As [`Filter`] for two taps.
pub(super) struct FilterOfTwo;

impl Transform<2, 5> for FilterOfTwo {
    #[inline(always)]
    fn apply<S: Simd>(simd: S, g: [S::f32s; 2]) -> [S::f32s; 5] {
        [
            times(simd, HALF_AT_ZERO, g[0]),
            fma(simd, HALF_AT_A, g[0], times(simd, HALF_AT_A * A, g[1])),
            fma(simd, HALF_AT_MINUS_A, g[0], times(simd, -HALF_AT_MINUS_A * A, g[1])),
            fma(simd, HALF_AT_B, g[0], times(simd, HALF_AT_B * B, g[1])),
            g[1],
        ]
    }
}

/// Of a single tap: none.
pub(super) struct Same;

impl<const N: usize> Transform<N, N> for Same {
    #[inline(always)]
    fn apply<S: Simd>(_simd: S, x: [S::f32s; N]) -> [S::f32s; N] {
        x
    }
}

/// The transforms along a dimension in which a window has some taps, so that a tile sees `N` pixels.
pub(super) trait Dimension<const N: usize> {
    type Input: Transform<N, N>;
    type Output: Transform<N, TILE>;
}

/// So many taps.
pub(super) struct Taps<const N: usize>;

impl Dimension<6> for Taps<3> {
    type Input = Input;
    type Output = Output;
}

impl Dimension<5> for Taps<2> {
    type Input = InputOfTwo;
    type Output = OutputOfTwo;
}

impl Dimension<4> for Taps<1> {
    type Input = Same;
    type Output = Same;
}
