//! A roofline plot (Williams, Waterman & Patterson 2009): how fast operations are, by FLOPs for each byte, below the roofs.

use maud::{Markup, html};

use super::colour;
use super::font::{self, FAMILY};
use super::heatmap::{FAINT, INK, PAPER};
use crate::error::Result;

const TEXT: f32 = 13.0;
const TITLE: f32 = 18.0;
const MARGIN: f32 = 24.0;
/// The plot's upper left corner, and its size.
const LEFT: f32 = 86.0;
const TOP: f32 = 100.0;
const WIDTH: f32 = 620.0;
const HEIGHT: f32 = 400.0;
/// How far the flat part of a roof goes on from where it begins, at least.
const FLAT: f64 = 3.0;
/// Points nearer than this share a label.
const NEAR: f32 = 14.0;
/// From the plot to the list of points, and from one line of it to the next.
const GAP: f32 = 28.0;
const LINE: f32 = 22.0;
/// Radius of a point that takes all the time, and the smallest, which has room for its number.
const LARGEST: f32 = 30.0;
const SMALLEST: f32 = 8.0;
const GRID: &str = "#e3e7ec";
const ROOF: &str = "#b5482a";

/// An operation.
pub struct Point {
    pub name: String,
    /// FLOPs for each byte.
    pub intensity: f64,
    pub gflops: f64,
    /// Of the time, from 0 to 1.
    pub share: f64,
}

/// Roofs, and points below them, those that take longest first.
pub struct Roofline {
    pub title: String,
    pub subtitle: String,
    /// GFLOP/s.
    pub peak: f64,
    /// GB/s, the slowest first.
    pub bandwidths: Vec<(String, f64)>,
    pub points: Vec<Point>,
}

/// Decades of an axis, from and to.
#[derive(Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    /// Whole decades around numbers, at least two.
    fn around(numbers: impl Iterator<Item = f64>) -> Self {
        let logs = numbers.filter(|&x| x > 0.0 && x.is_finite()).map(f64::log10);
        let (low, high) = logs.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        let low = if low.is_finite() { low.floor() } else { 0.0 };
        Self { low, high: high.ceil().max(low + 2.0) }
    }

    /// From 0 to 1 on the axis.
    fn place(self, x: f64) -> f32 {
        ((x.log10() - self.low) / (self.high - self.low)) as f32
    }

    fn decades(self) -> impl Iterator<Item = i32> {
        self.low as i32..=self.high as i32
    }
}

impl Roofline {
    pub fn svg(&self) -> Result<String> {
        let fastest = self.bandwidths.last().map_or(1.0, |(_, gbs)| *gbs);
        let ridges = self.bandwidths.iter().map(|(_, gbs)| self.peak / gbs * FLAT);
        let x = Axis::around(self.points.iter().map(|point| point.intensity).chain(ridges));
        let y = Axis::around(self.points.iter().map(|point| point.gflops).chain([self.peak * 1.2, self.peak / 50.0]));
        let plot = Plot { x, y };
        let names: Vec<String> = self.points.iter().map(label).collect();
        let widest = |texts: &[String], size: f32| {
            font::widths(texts, size).map(|widths| widths.into_iter().fold(0.0, f32::max))
        };
        let list = LEFT + WIDTH + GAP;
        let title = widest(std::slice::from_ref(&self.title), TITLE)?
            .max(widest(std::slice::from_ref(&self.subtitle), TEXT)?)
            + 2.0 * MARGIN;
        let width = (list + 2.0 * SMALLEST + 10.0 + widest(&names, TEXT)? + MARGIN).max(title).ceil();
        let height = (TOP + HEIGHT + 60.0).max(TOP + LINE * (names.len() as f32 + 1.0) + MARGIN).ceil();
        let picture = html! {
            svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height) viewBox={ "0 0 " (width) " " (height) }
                font-family=(FAMILY) font-size=(TEXT) fill=(INK) role="img" {
                title { (self.title) }
                rect width=(width) height=(height) fill=(PAPER) {}
                text x=(MARGIN) y=(MARGIN + TITLE * 0.8) font-size=(TITLE) { (self.title) }
                text x=(MARGIN) y=(MARGIN + TITLE + 8.0 + TEXT * 0.8) fill=(FAINT) { (self.subtitle) }
                (plot.grid())
                (plot.roofs(self, fastest))
                (plot.points(&self.points))
                (legend(&self.points, &names, list))
            }
        };
        Ok(picture.into_string() + "\n")
    }
}

/// "matmul packed 16x384x1536: 231 GFLOP/s, 48% of the time"
fn label(point: &Point) -> String {
    let Point { name, gflops, share, .. } = point;
    let decimals = usize::from(*gflops < 10.0);
    format!("{name}: {gflops:.decimals$} GFLOP/s, {:.1}% of the time", share * 100.0)
}

fn shade(point: &Point) -> colour::Rgb {
    // From a third of the ramp on: the palest could not be seen on paper.
    colour::light()[colour::step(0.35 + 0.65 * (point.share as f32).sqrt())]
}

fn ink_on(colour: colour::Rgb) -> &'static str {
    if colour::wants_dark_text(colour) { "#000000" } else { "#ffffff" }
}

fn legend(points: &[Point], names: &[String], x: f32) -> Markup {
    html! {
        @for (i, (point, name)) in points.iter().zip(names).enumerate() {
            @let (y, colour) = (TOP + LINE * (i as f32 + 0.5), shade(point));
            circle cx=(x + SMALLEST) cy=(y) r=(SMALLEST) fill=(colour::hex(colour)) {}
            text x=(x + SMALLEST) y=(y + TEXT * 0.3) text-anchor="middle" font-size=(TEXT * 0.8) fill=(ink_on(colour)) { (i + 1) }
            text x=(x + 2.0 * SMALLEST + 8.0) y=(y + TEXT * 0.35) { (name) }
        }
    }
}

struct Plot {
    x: Axis,
    y: Axis,
}

impl Plot {
    fn at(&self, intensity: f64, gflops: f64) -> [f32; 2] {
        [LEFT + WIDTH * self.x.place(intensity), TOP + HEIGHT * (1.0 - self.y.place(gflops))]
    }

    fn grid(&self) -> Markup {
        let power = |decade: i32| 10_f64.powi(decade);
        let text = |decade: i32| {
            if decade < 0 {
                format!("{:.*}", decade.unsigned_abs() as usize, power(decade))
            } else {
                power(decade).to_string()
            }
        };
        let (bottom, right) = (TOP + HEIGHT, LEFT + WIDTH);
        html! {
            g stroke=(GRID) {
                @for decade in self.x.decades() {
                    @let [x, _] = self.at(power(decade), 1.0);
                    path d={ "M" (x) " " (TOP) "V" (bottom) } {}
                }
                @for decade in self.y.decades() {
                    @let [_, y] = self.at(1.0, power(decade));
                    path d={ "M" (LEFT) " " (y) "H" (right) } {}
                }
            }
            g fill=(FAINT) {
                @for decade in self.x.decades() {
                    @let [x, _] = self.at(power(decade), 1.0);
                    text x=(x) y=(bottom + TEXT * 1.5) text-anchor="middle" { (text(decade)) }
                }
                @for decade in self.y.decades() {
                    @let [_, y] = self.at(1.0, power(decade));
                    text x=(LEFT - 8.0) y=(y + TEXT * 0.35) text-anchor="end" { (text(decade)) }
                }
                text x=(LEFT + WIDTH / 2.0) y=(bottom + TEXT * 3.0) text-anchor="middle" { "FLOPs for each byte of the operands" }
                text transform={ "translate(" (MARGIN + TEXT) " " (TOP + HEIGHT / 2.0) ") rotate(-90)" } text-anchor="middle" { "GFLOP/s" }
            }
        }
    }

    /// The peak from the fastest ridge on, and a slope up to it for each bandwidth.
    fn roofs(&self, roofs: &Roofline, fastest: f64) -> Markup {
        let (left, right) = (10_f64.powf(self.x.low), 10_f64.powf(self.x.high));
        let bottom = 10_f64.powf(self.y.low);
        let [x, y] = self.at(roofs.peak / fastest, roofs.peak);
        let [end, _] = self.at(right, roofs.peak);
        let slope =
            (HEIGHT / (self.y.high - self.y.low) as f32).atan2(WIDTH / (self.x.high - self.x.low) as f32).to_degrees();
        html! {
            g fill="none" stroke=(ROOF) {
                path d={ "M" (x) " " (y) "H" (end) } stroke-width="2" {}
                @for (i, (_, gbs)) in roofs.bandwidths.iter().enumerate() {
                    @let start = left.max(bottom / gbs);
                    @let ([x1, y1], [x2, y2]) = (self.at(start, start * gbs), self.at(roofs.peak / gbs, roofs.peak));
                    path d={ "M" (x1) " " (y1) "L" (x2) " " (y2) } stroke-width=(if i == 0 { 2.0 } else { 1.0 })
                        stroke-dasharray=[(i > 0).then_some("5 4")] {}
                }
            }
            g fill=(ROOF) {
                text x=(end - 4.0) y=(y - 7.0) text-anchor="end" { "FMA peak " (format!("{:.0}", roofs.peak)) " GFLOP/s" }
                @for (i, (name, gbs)) in roofs.bandwidths.iter().enumerate() {
                    @let start = left.max(bottom / gbs) * 1.25;
                    @let [x, y] = self.at(start, start * gbs);
                    // Two caches may be about as fast: the second has its name on the other side of its line.
                    @let y = y + if i == 2 { TEXT + 4.0 } else { -6.0 };
                    text transform={ "translate(" (x) " " (y) ") rotate(" (-slope) ")" } { (name) " " (format!("{gbs:.0}")) " GB/s" }
                }
            }
        }
    }

    /// Large ones first, so that small ones are not hidden. The area is the share of the time.
    fn points(&self, points: &[Point]) -> Markup {
        let places: Vec<[f32; 2]> = points.iter().map(|point| self.at(point.intensity, point.gflops)).collect();
        let radius = |point: &Point| (LARGEST * (point.share as f32).sqrt()).max(SMALLEST);
        html! {
            @for (point, [x, y]) in points.iter().zip(&places) {
                circle cx=(x) cy=(y) r=(radius(point)) fill=(colour::hex(shade(point))) stroke=(PAPER) stroke-width="1.5" {
                    title { (label(point)) }
                }
            }
            g font-size=(TEXT * 0.8) pointer-events="none" {
                @for cluster in clusters(&places) {
                    @let ([x, y], first) = (places[cluster[0]], &points[cluster[0]]);
                    @let y = y + TEXT * 0.3;
                    @if let [i] = cluster[..] {
                        text x=(x) y=(y) text-anchor="middle" fill=(ink_on(shade(first))) { (i + 1) }
                    } @else {
                        @let numbers: Vec<String> = cluster.iter().map(|i| (i + 1).to_string()).collect();
                        text x=(x + radius(first) + 6.0) y=(y) { (numbers.join(", ")) }
                    }
                }
            }
        }
    }
}

/// Points that hide each other, the first of each standing for it.
fn clusters(places: &[[f32; 2]]) -> Vec<Vec<usize>> {
    let mut clusters: Vec<Vec<usize>> = Vec::new();
    for (i, [x, y]) in places.iter().enumerate() {
        let near = |cluster: &&mut Vec<usize>| {
            let [first_x, first_y] = places[cluster[0]];
            (x - first_x).hypot(y - first_y) < NEAR
        };
        match clusters.iter_mut().find(near) {
            Some(cluster) => cluster.push(i),
            None => clusters.push(vec![i]),
        }
    }
    clusters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hides_each_other_shares_a_label() {
        assert_eq!(
            clusters(&[[0.0, 0.0], [50.0, 0.0], [3.0, 4.0], [50.0, 13.0], [0.0, 14.0]]),
            [vec![0, 2], vec![1, 3], vec![4]]
        );
        assert!(clusters(&[]).is_empty());
    }

    #[test]
    fn an_axis_has_whole_decades() {
        let axis = Axis::around([0.3, 40.0].into_iter());
        assert_eq!((axis.low, axis.high), (-1.0, 2.0));
        assert_eq!([0.1, 100.0].map(|x| axis.place(x)), [0.0, 1.0]);
        for numbers in [vec![], vec![0.0, f64::NAN], vec![5.0]] {
            let axis = Axis::around(numbers.into_iter());
            assert_eq!((axis.low, axis.high), (0.0, 2.0));
        }
    }
}
