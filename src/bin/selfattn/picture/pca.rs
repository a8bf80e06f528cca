//! Principal components: the two directions in which some points differ most, for a drawing of them.

/// Steps at most. Directions that are not found by then differ so little in variance that either serves.
const STEPS: usize = 500;
/// The steps end when no component of a direction moves by more.
const STILL: f64 = 1e-10;

/// Points in the plane, and what the plane shows of them.
#[derive(Debug)]
pub struct Plane {
    /// One for each point: its coordinates along the two directions, from the points' mean, in the unit of the vectors.
    pub points: Vec<[f32; 2]>,
    /// Each direction's share of the points' variance, larger first. Zeros if the points do not differ.
    pub shares: [f64; 2],
}

/// Projects the rows of a matrix with `width` columns on their first two principal components.
///
/// Orthogonal iteration (Golub and Van Loan, Matrix Computations, section 8.2.4) on the covariance, which is never
/// formed. The sign of a direction, which is free, is chosen so that its largest coordinate is positive.
pub fn plane(rows: &[f32], width: usize) -> Plane {
    let points = centred(rows, width);
    let total: f64 = points.iter().flatten().map(|x| x * x).sum();
    let mut directions = [vec![0.0; width], vec![0.0; width]];
    if total > 0.0 {
        directions = principal(&points, width);
    }
    let at = |point: &Vec<f64>| [dot(point, &directions[0]) as f32, dot(point, &directions[1]) as f32];
    let variance = |direction: &Vec<f64>| points.iter().map(|point| dot(point, direction).powi(2)).sum::<f64>();
    let shares = [0, 1].map(|i| if total > 0.0 { variance(&directions[i]) / total } else { 0.0 });
    Plane { points: points.iter().map(at).collect(), shares }
}

fn centred(rows: &[f32], width: usize) -> Vec<Vec<f64>> {
    let mut points: Vec<Vec<f64>> =
        rows.chunks_exact(width.max(1)).map(|row| row.iter().map(|&x| x.into()).collect()).collect();
    let scale = 1.0 / points.len().max(1) as f64;
    for c in 0..width {
        let mean = points.iter().map(|point| point[c]).sum::<f64>() * scale;
        points.iter_mut().for_each(|point| point[c] -= mean);
    }
    points
}

fn principal(points: &[Vec<f64>], width: usize) -> [Vec<f64>; 2] {
    let mut directions = start(points, width);
    for _ in 0..STEPS {
        let next = [spread(points, &directions[0]), spread(points, &directions[1])];
        let next = orthonormal(next);
        let moved = directions.iter().flatten().zip(next.iter().flatten()).map(|(a, b)| (a - b).abs());
        let moved = moved.fold(0.0, f64::max);
        directions = next;
        if moved < STILL {
            break;
        }
    }
    directions.map(signed)
}

/// The longest point, and the one that is longest at right angles to it: neither is orthogonal to all that matters.
fn start(points: &[Vec<f64>], width: usize) -> [Vec<f64>; 2] {
    let longest = |points: &[Vec<f64>]| {
        points.iter().max_by(|a, b| dot(a, a).total_cmp(&dot(b, b))).cloned().unwrap_or_else(|| vec![0.0; width])
    };
    let first = normal(longest(points));
    let rest: Vec<Vec<f64>> = points.iter().map(|point| without(point.clone(), &first)).collect();
    orthonormal([first, longest(&rest)])
}

/// The covariance times `direction`, but for a factor.
fn spread(points: &[Vec<f64>], direction: &[f64]) -> Vec<f64> {
    let mut out = vec![0.0; direction.len()];
    for point in points {
        let share = dot(point, direction);
        out.iter_mut().zip(point).for_each(|(out, x)| *out += share * x);
    }
    out
}

fn orthonormal([a, b]: [Vec<f64>; 2]) -> [Vec<f64>; 2] {
    let a = normal(a);
    // Twice: what rounding left of `a` the first time, where `b` is almost parallel to it.
    let b = without(normal(without(b, &a)), &a);
    [a, normal(b)]
}

fn without(mut x: Vec<f64>, direction: &[f64]) -> Vec<f64> {
    let share = dot(&x, direction);
    x.iter_mut().zip(direction).for_each(|(x, d)| *x -= share * d);
    x
}

/// Of length 1; zero stays zero.
fn normal(mut x: Vec<f64>) -> Vec<f64> {
    let length = dot(&x, &x).sqrt();
    if length > 0.0 {
        x.iter_mut().for_each(|x| *x /= length);
    }
    x
}

fn signed(x: Vec<f64>) -> Vec<f64> {
    let largest = x.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(0.0);
    if largest < 0.0 { x.iter().map(|x| -x).collect() } else { x }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look random, from -1 to 1.
    fn noise(seed: u64) -> impl FnMut() -> f32 {
        let mut state = seed;
        move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        }
    }

    #[test]
    fn an_ellipse_in_space_is_seen_from_above() {
        // Two directions at right angles, neither an axis, and an offset that must not matter.
        let (u, v) = ([0.6, 0.0, 0.8, 0.0], [0.0, 1.0, 0.0, 0.0]);
        let angles: Vec<f32> = (0..40).map(|i| i as f32 * std::f32::consts::TAU / 40.0).collect();
        let rows: Vec<f32> =
            angles.iter().flat_map(|a| (0..4).map(|c| 5.0 + 3.0 * a.cos() * u[c] + a.sin() * v[c])).collect();
        let plane = plane(&rows, 4);
        assert!((plane.shares[0] - 0.9).abs() < 1e-6 && (plane.shares[1] - 0.1).abs() < 1e-6, "{:?}", plane.shares);
        for (point, a) in plane.points.iter().zip(angles) {
            assert!((point[0] - 3.0 * a.cos()).abs() < 1e-5 && (point[1] - a.sin()).abs() < 1e-5, "{point:?}");
        }
    }

    #[test]
    fn no_other_plane_shows_more() {
        let mut next = noise(3);
        let width = 12;
        let rows: Vec<f32> = (0..30 * width).map(|i| next() * (1.0 + (i % width) as f32 / 6.0)).collect();
        let plane = plane(&rows, width);
        assert!(plane.shares[0] >= plane.shares[1]);
        let column = |i: usize| plane.points.iter().map(move |point| f64::from(point[i]));
        let product: f64 = column(0).zip(column(1)).map(|(a, b)| a * b).sum();
        assert!(product.abs() < 1e-3, "the two are not correlated: {product}");
        let points = centred(&rows, width);
        let total: f64 = points.iter().flatten().map(|x| x * x).sum();
        for _ in 0..2000 {
            let pair = [0, 1].map(|_| (0..width).map(|_| f64::from(next())).collect::<Vec<f64>>());
            let other = orthonormal(pair).map(|d| points.iter().map(|p| dot(p, &d).powi(2)).sum::<f64>() / total);
            assert!(other[0] + other[1] <= plane.shares[0] + plane.shares[1] + 1e-9);
        }
    }

    #[test]
    fn points_that_span_no_plane() {
        assert!(plane(&[], 3).points.is_empty());
        for rows in [vec![1.0, 2.0, 3.0], vec![1.0; 9]] {
            let plane = plane(&rows, 3);
            assert!(plane.points.iter().flatten().all(|x| *x == 0.0) && plane.shares == [0.0, 0.0]);
        }
        let line = plane(&[0.0, 0.0, 3.0, 4.0, 6.0, 8.0], 2);
        assert!((line.shares[0] - 1.0).abs() < 1e-9 && line.shares[1].abs() < 1e-9);
        assert!((line.points[2][0].abs() - 5.0).abs() < 1e-6 && line.points.iter().all(|point| point[1].abs() < 1e-6));
    }
}
