//! A bar chart as SVG, readable in light and dark; it knows nothing of what it shows.

use std::fmt::Write;

use super::rounds::Spread;

/// One bar: a ratio with its interval, and the least that is aimed at.
pub(super) struct Bar {
    pub(super) name: &'static str,
    pub(super) value: Spread,
    pub(super) aim: f64,
}

const WIDTH: f64 = 720.0;
const ROW: f64 = 56.0;
const TOP: f64 = 56.0;
/// Where bars begin and how long the longest may be.
const LEFT: f64 = 240.0;
const LONGEST: f64 = 400.0;

/// Draws the bars below a title.
pub(super) fn svg(title: &str, bars: &[Bar]) -> String {
    let most = bars.iter().map(|bar| bar.value.high.max(bar.aim)).fold(1.0, f64::max);
    let x = |value: f64| LEFT + value / most * LONGEST;
    let height = TOP + ROW * bars.len() as f64 + 16.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         font-family=\"sans-serif\" font-size=\"14\">\n<title>{title}</title>\n<style>text{{fill:#222}}.b{{fill:#2a7}}\
         .m{{fill:#c62}}.l{{stroke:#444;stroke-width:2}}@media(prefers-color-scheme:dark){{text{{fill:#ddd}}\
         .l{{stroke:#ccc}}}}</style>\n<text x=\"16\" y=\"28\" font-size=\"16\">{title}</text>\n"
    );
    for (index, bar) in bars.iter().enumerate() {
        let y = TOP + ROW * index as f64;
        let class = if bar.value.reaches(bar.aim) { "b" } else { "m" };
        let (middle, aim) = (y + 16.0, x(bar.aim));
        // Writing to a string cannot fail.
        let _ = writeln!(
            svg,
            "<text x=\"16\" y=\"{:.0}\">{}</text>\n\
             <rect class=\"{class}\" x=\"{LEFT}\" y=\"{y:.0}\" width=\"{:.1}\" height=\"32\"/>\n\
             <line class=\"l\" x1=\"{:.1}\" x2=\"{:.1}\" y1=\"{middle:.0}\" y2=\"{middle:.0}\"/>\n\
             <line class=\"l\" stroke-dasharray=\"4 3\" x1=\"{aim:.1}\" x2=\"{aim:.1}\" y1=\"{:.0}\" y2=\"{:.0}\"/>\n\
             <text x=\"{:.1}\" y=\"{:.0}\">{:.3} (aim {:.2})</text>",
            middle + 5.0,
            bar.name,
            x(bar.value.median) - LEFT,
            x(bar.value.low),
            x(bar.value.high),
            y - 4.0,
            y + 36.0,
            LEFT + 8.0,
            middle + 5.0,
            bar.value.median,
            bar.aim
        );
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bar_is_there_and_a_missed_aim_looks_different() {
        let value = |median| {
            let (low, high) = (median - 0.1, median + 0.1);
            Spread { median, low, high, least: low, most: high, sure: true }
        };
        let bars = [Bar { name: "one", value: value(1.0), aim: 0.9 }, Bar { name: "two", value: value(0.5), aim: 0.9 }];
        let svg = svg("title", &bars);
        assert_eq!((svg.matches("class=\"b\"").count(), svg.matches("class=\"m\"").count()), (1, 1));
        assert!(svg.contains(">one<") && svg.contains("0.500 (aim 0.90)") && svg.ends_with("</svg>\n"));
    }
}
