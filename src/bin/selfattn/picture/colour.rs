//! Colours for numbers: two ramps, for light and for dark ground, in which equal steps of the number look equally large.
//!
//! A ramp is a path through Oklab (Ottosson 2020, <https://bottosson.github.io/posts/oklab/>), a space in which distance is
//! about how different two colours look. It is walked at constant speed, and its lightness only rises or only falls, so
//! it reads the same without colour vision. The ground's colour stands for the smallest number.

/// Colours in a ramp.
pub const STEPS: usize = 128;

/// sRGB, 8 bits each.
pub type Rgb = [u8; 3];

/// From paper to ink.
const LIGHT: [Rgb; 6] = [
    [0xf8, 0xfa, 0xf6],
    [0xd3, 0xec, 0xc4],
    [0x7f, 0xcc, 0xba],
    [0x2f, 0x98, 0xbb],
    [0x26, 0x55, 0x9a],
    [0x1c, 0x1a, 0x52],
];
/// From the dark ground to light.
const DARK: [Rgb; 6] = [
    [0x1b, 0x20, 0x2b],
    [0x2a, 0x3a, 0x78],
    [0x1f, 0x68, 0x9c],
    [0x26, 0x9f, 0x9b],
    [0x8a, 0xd0, 0x7d],
    [0xfb, 0xf1, 0xa4],
];

/// The ramp for light ground: large numbers are dark.
pub fn light() -> Vec<Rgb> {
    ramp(&LIGHT)
}

/// The ramp for dark ground: large numbers are light.
pub fn dark() -> Vec<Rgb> {
    ramp(&DARK)
}

/// The place of a share, 0 to 1, in a ramp. A NaN becomes 0.
pub fn step(share: f32) -> usize {
    ((share * (STEPS - 1) as f32).round() as usize).min(STEPS - 1)
}

/// `#rrggbb`
pub fn hex([r, g, b]: Rgb) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

/// Whether black text reads better on it than white: by the contrast of the Web Content Accessibility Guidelines.
pub fn wants_dark_text(colour: Rgb) -> bool {
    let [r, g, b] = colour.map(linear);
    let luminance = 0.2126 * r + 0.7152 * g + 0.0722 * b;
    (luminance + 0.05) * (luminance + 0.05) > 1.05 * 0.05
}

/// The path through the stops, at constant speed.
fn ramp(stops: &[Rgb]) -> Vec<Rgb> {
    let stops: Vec<Lab> = stops.iter().map(|&rgb| oklab(rgb)).collect();
    let lengths: Vec<f64> = stops.windows(2).map(|pair| distance(pair[0], pair[1])).collect();
    let total: f64 = lengths.iter().sum();
    let at = |i: usize| {
        let mut left = total * i as f64 / (STEPS - 1) as f64;
        let mut leg = 0;
        while leg + 1 < lengths.len() && left > lengths[leg] {
            left -= lengths[leg];
            leg += 1;
        }
        let share = (left / lengths[leg]).min(1.0);
        srgb(std::array::from_fn(|c| stops[leg][c] + share * (stops[leg + 1][c] - stops[leg][c])))
    };
    (0..STEPS).map(at).collect()
}

/// Lightness, green to red, blue to yellow.
type Lab = [f64; 3];

fn distance(a: Lab, b: Lab) -> f64 {
    (0..3).map(|i| (a[i] - b[i]).powi(2)).sum::<f64>().sqrt()
}

fn linear(x: u8) -> f64 {
    let x = f64::from(x) / 255.0;
    if x <= 0.04045 { x / 12.92 } else { ((x + 0.055) / 1.055).powf(2.4) }
}

fn gamma(x: f64) -> u8 {
    let x = if x <= 0.003_130_8 { x * 12.92 } else { 1.055 * x.powf(1.0 / 2.4) - 0.055 };
    (x * 255.0).round().clamp(0.0, 255.0) as u8
}

fn times(m: [[f64; 3]; 3], x: [f64; 3]) -> [f64; 3] {
    m.map(|row| row[0] * x[0] + row[1] * x[1] + row[2] * x[2])
}

fn oklab(rgb: Rgb) -> Lab {
    let lms = times(
        [
            [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
            [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
            [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
        ],
        rgb.map(linear),
    );
    times(
        [
            [0.210_454_255_3, 0.793_617_785_0, -0.004_072_046_8],
            [1.977_998_495_1, -2.428_592_205_0, 0.450_593_709_9],
            [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766_0],
        ],
        lms.map(f64::cbrt),
    )
}

fn srgb(lab: Lab) -> Rgb {
    let lms = times(
        [
            [1.0, 0.396_337_777_4, 0.215_803_757_3],
            [1.0, -0.105_561_345_8, -0.063_854_172_8],
            [1.0, -0.089_484_177_5, -1.291_485_548_0],
        ],
        lab,
    );
    times(
        [
            [4.076_741_662_1, -3.307_711_591_3, 0.230_969_929_2],
            [-1.268_438_004_6, 2.609_757_401_1, -0.341_319_396_5],
            [-0.004_196_086_3, -0.703_418_614_7, 1.707_614_701_0],
        ],
        lms.map(|x| x.powi(3)),
    )
    .map(gamma)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How people without the red-sensitive, the green-sensitive, the blue-sensitive cones see, in linear RGB
    /// (Machado, Oliveira, Fernandes 2009, table 1, severity 1).
    const BLINDNESS: [[[f64; 3]; 3]; 3] = [
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
    ];

    #[test]
    fn oklab_is_as_published() {
        // From the table in the publication, and the ends.
        let near = |a: Lab, b: Lab| distance(a, b) < 2e-3;
        assert!(near(oklab([255, 255, 255]), [1.0, 0.0, 0.0]));
        assert!(near(oklab([255, 0, 0]), [0.628, 0.225, 0.126]));
        for rgb in [[0, 0, 0], [1, 2, 3], [200, 10, 90], [255, 255, 255]] {
            assert_eq!(srgb(oklab(rgb)), rgb);
        }
    }

    #[test]
    fn equal_steps_look_equal() {
        for ramp in [light(), dark()] {
            let lab: Vec<Lab> = ramp.iter().map(|&rgb| oklab(rgb)).collect();
            // Over eight steps, since each colour is rounded to 8 bits.
            let steps: Vec<f64> = lab.windows(9).map(|part| distance(part[0], part[8])).collect();
            let mean = steps.iter().sum::<f64>() / steps.len() as f64;
            for step in steps {
                assert!((step / mean - 1.0).abs() < 0.1, "{step} where the mean is {mean}");
            }
        }
    }

    #[test]
    fn the_order_is_seen_without_colour_vision() {
        for (ramp, sign) in [(light(), -1.0), (dark(), 1.0)] {
            let span = |lightness: &[f64]| {
                assert!(lightness.windows(9).all(|part| (part[8] - part[0]) * sign > 0.0), "{lightness:?}");
                (lightness[STEPS - 1] - lightness[0]).abs()
            };
            let seen: Vec<f64> = ramp.iter().map(|&rgb| oklab(rgb)[0]).collect();
            assert!(span(&seen) > 0.6);
            for matrix in BLINDNESS {
                let seen = ramp.iter().map(|&rgb| oklab(times(matrix, rgb.map(linear)).map(gamma))[0]);
                assert!(span(&seen.collect::<Vec<_>>()) > 0.6);
            }
        }
    }

    #[test]
    fn a_share_has_a_place() {
        assert_eq!([0.0, 1.0, 7.0, -1.0, f32::NAN].map(step), [0, STEPS - 1, STEPS - 1, 0, 0]);
        assert!(wants_dark_text([255; 3]) && !wants_dark_text([0; 3]));
    }
}
