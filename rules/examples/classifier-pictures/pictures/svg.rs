//! Shapes and texts → the text of an SVG file.

use std::fmt::Write as _;

/// Pixels from edge to edge.
pub(super) const WIDTH: f64 = 760.0;
/// Where things begin, and as far from the other edge they end.
pub(super) const LEFT: f64 = 28.0;

pub(super) const INK: &str = "#1f2937";
pub(super) const FAINT: &str = "#5b6675";
pub(super) const EDGE: &str = "#8a94a3";
pub(super) const PAPER: &str = "#ffffff";
/// The class of addresses in the set.
pub(super) const INSIDE: &str = "#2b6cb0";
/// All others.
pub(super) const OUTSIDE: &str = "#dfe4ea";
/// What one packet meets.
pub(super) const FOLLOWED: &str = "#c2410c";

/// A picture that grows downwards.
pub(super) struct Canvas {
    title: String,
    body: String,
}

/// Where a text stands from its point.
#[derive(Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
}

/// A box.
#[derive(Clone, Copy)]
pub(super) struct Area {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) width: f64,
    pub(super) height: f64,
}

impl Canvas {
    pub(super) fn new(title: &str) -> Self {
        let mut canvas = Self {
            title: escaped(title),
            body: String::new(),
        };
        canvas.styled(
            LEFT,
            30.0,
            Anchor::Start,
            "font-size=\"17\" font-weight=\"600\"",
            INK,
            title,
        );
        canvas
    }

    pub(super) fn area(&mut self, area: Area, fill: &str, stroke: &str, width: f64) {
        let Area {
            x,
            y,
            width: w,
            height: h,
        } = area;
        let (x, y, w, h) = (short(x), short(y), short(w), short(h));
        let _ = writeln!(
            self.body,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" fill=\"{fill}\" stroke=\"{stroke}\" stroke-width=\"{}\"/>",
            short(width)
        );
    }

    /// A line through all points; the rest is attributes.
    pub(super) fn path(&mut self, points: &[(f64, f64)], stroke: &str, more: &str) {
        let points: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{},{}", short(*x), short(*y)))
            .collect();
        let _ = writeln!(
            self.body,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{stroke}\" {more}/>",
            points.join(" ")
        );
    }

    /// A line whose end is pointed.
    pub(super) fn arrow(&mut self, points: &[(f64, f64)], stroke: &str) {
        self.path(points, stroke, "stroke-width=\"1.6\"");
        let [.., (from_x, from_y), (x, y)] = points else {
            return;
        };
        let length = (x - from_x).hypot(y - from_y);
        let (along_x, along_y) = ((x - from_x) / length * 7.0, (y - from_y) / length * 7.0);
        let side = |turn: f64| {
            let (x, y) = (x - along_x - along_y * turn, y - along_y + along_x * turn);
            format!("{},{}", short(x), short(y))
        };
        let _ = writeln!(
            self.body,
            "<polygon points=\"{},{} {} {}\" fill=\"{stroke}\"/>",
            short(*x),
            short(*y),
            side(0.55),
            side(-0.55)
        );
    }

    pub(super) fn text(&mut self, x: f64, y: f64, anchor: Anchor, fill: &str, text: &str) {
        self.styled(x, y, anchor, "font-size=\"13\"", fill, text);
    }

    pub(super) fn small(&mut self, x: f64, y: f64, anchor: Anchor, fill: &str, text: &str) {
        self.styled(x, y, anchor, "font-size=\"12\"", fill, text);
    }

    pub(super) fn bold(&mut self, x: f64, y: f64, anchor: Anchor, fill: &str, text: &str) {
        self.styled(x, y, anchor, "font-size=\"13\" font-weight=\"600\"", fill, text);
    }

    /// A number in a circle, by the middle of both.
    pub(super) fn step(&mut self, x: f64, y: f64, number: usize) {
        let (cx, cy) = (short(x), short(y));
        let _ = writeln!(
            self.body,
            "<circle cx=\"{cx}\" cy=\"{cy}\" r=\"8.5\" fill=\"{FOLLOWED}\"/>"
        );
        let style = "font-size=\"12\" font-weight=\"600\"";
        self.styled(x, y + 4.3, Anchor::Middle, style, PAPER, &number.to_string());
    }

    /// The file.
    pub(super) fn finish(self, height: f64) -> String {
        let Self { title, body } = self;
        let (width, height) = (short(WIDTH), short(height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             role=\"img\" font-family=\"system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif\">\n\
             <title>{title}</title>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"{PAPER}\"/>\n{body}</svg>\n"
        )
    }

    fn styled(&mut self, x: f64, y: f64, anchor: Anchor, style: &str, fill: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
        };
        let (x, y, text) = (short(x), short(y), escaped(text));
        let _ = writeln!(
            self.body,
            "<text x=\"{x}\" y=\"{y}\"{anchor} {style} fill=\"{fill}\">{text}</text>"
        );
    }
}

/// About how wide a small text is, in whatever font.
pub(super) fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * 7.4
}

/// A tenth of a pixel is enough.
fn short(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0")
        .map_or_else(|| text.clone(), str::to_owned)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
