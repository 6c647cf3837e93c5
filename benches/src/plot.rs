//! Costs against sizes, both on logarithmic axes: lines → **`Plot`** → an SVG.

use std::error::Error;
use std::ops::Range;
use std::path::Path;

use plotters::prelude::*;

/// One drawing.
pub struct Plot {
    file: &'static str,
    title: &'static str,
    axes: [&'static str; 2],
    series: Vec<Series>,
}

/// What stands on the paper for a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Measured by us: points that are joined.
    Line,
    /// Figures of others: triangles.
    Published,
    /// What must be reached: bars.
    Target,
}

struct Series {
    name: String,
    mark: Mark,
    points: Vec<(f64, f64)>,
}

impl Plot {
    /// An empty drawing with these axes, horizontal first; `file` has no ending.
    #[must_use]
    pub const fn new(file: &'static str, title: &'static str, axes: [&'static str; 2]) -> Self {
        Self {
            file,
            title,
            axes,
            series: vec![],
        }
    }

    /// Adds a series. What is not above zero has no place on a logarithmic axis and is drawn at the least that is shown.
    pub fn add(&mut self, name: &str, mark: Mark, points: impl IntoIterator<Item = (f64, f64)>) {
        let points: Vec<(f64, f64)> = points.into_iter().map(|(x, y)| (x, y.max(LEAST))).collect();
        if !points.is_empty() {
            self.series.push(Series {
                name: name.to_owned(),
                mark,
                points,
            });
        }
    }

    /// Writes the SVG into `folder`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), Box<dyn Error>> {
        let path = folder.join(format!("{}.svg", self.file));
        let root = SVGBackend::new(&path, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let [across, up] = [0, 1].map(|axis| self.range(axis));
        let (paper, legend) = root.split_horizontally(PAPER);
        let mut chart = ChartBuilder::on(&paper)
            .caption(self.title, (FONT, 20))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(across.log_scale(), up.log_scale())?;
        chart
            .configure_mesh()
            .x_desc(self.axes[0])
            .y_desc(self.axes[1])
            .x_label_formatter(&|value| number(*value))
            .y_label_formatter(&|value| number(*value))
            .light_line_style(WHITE)
            .bold_line_style(RGBColor(225, 225, 225))
            .label_style((FONT, 14))
            .draw()?;
        for (index, series) in self.series.iter().enumerate() {
            let colour = series.colour(index);
            let points = series.points.iter().copied();
            match series.mark {
                Mark::Line => {
                    chart.draw_series(points.clone().map(|point| Circle::new(point, 3, colour.filled())))?;
                    chart.draw_series(LineSeries::new(points, colour.stroke_width(2)))?;
                }
                Mark::Published => {
                    chart.draw_series(points.map(|point| TriangleMarker::new(point, 6, colour.filled())))?;
                }
                Mark::Target => {
                    chart.draw_series(points.map(|point| {
                        let bar = vec![(-9, 0), (9, 0)];
                        EmptyElement::at(point) + PathElement::new(bar, colour.stroke_width(3))
                    }))?;
                }
            }
        }
        // Beside the paper, where it hides no line.
        for ((index, series), y) in self.series.iter().enumerate().zip((70..).step_by(24)) {
            let colour = series.colour(index);
            let bar = vec![(4, y), (22, y)];
            match series.mark {
                Mark::Line => legend.draw(&PathElement::new(bar, colour.stroke_width(2)))?,
                Mark::Published => legend.draw(&TriangleMarker::new((13, y), 6, colour.filled()))?,
                Mark::Target => legend.draw(&PathElement::new(bar, colour.stroke_width(4)))?,
            }
            legend.draw(&Text::new(series.name.clone(), (30, y - 7), (FONT, 14)))?;
        }
        root.present()?;
        Ok(())
    }

    /// From the least to the most of an axis, with some room.
    fn range(&self, axis: usize) -> Range<f64> {
        let points = self.series.iter().flat_map(|series| &series.points);
        let values = points.map(|(x, y)| [*x, *y][axis]);
        let (low, high) = values.fold((f64::INFINITY, LEAST), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        if low > high {
            return LEAST..1.0;
        }
        low / 1.5..high * 1.8
    }
}

impl Series {
    fn colour(&self, index: usize) -> RGBColor {
        match self.mark {
            Mark::Target => RGBColor(60, 60, 60),
            Mark::Line | Mark::Published => COLOURS[index % COLOURS.len()],
        }
    }
}

fn number(value: f64) -> String {
    match value {
        1e6.. => format!("{} M", value / 1e6),
        1e3.. => format!("{} k", value / 1e3),
        value => format!("{value}"),
    }
}

const SIZE: (u32, u32) = (1040, 560);
/// Width of what is beside the legend.
const PAPER: i32 = 830;
const FONT: &str = "sans-serif";
/// Nanoseconds, or entries, below which nothing is told apart.
const LEAST: f64 = 1.0;
/// Told apart by people who do not see red and green alike (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(110, 70, 30),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_drawn_and_named() -> Result<(), Box<dyn Error>> {
        let folder = tempfile::tempdir()?;
        let mut plot = Plot::new("cost", "Cost", ["rules", "ns"]);
        plot.add("ours", Mark::Line, [(100.0, 20.0), (1000.0, 30.0)]);
        plot.add("theirs", Mark::Published, [(100.0, 950.0)]);
        plot.add("nothing measured", Mark::Line, []);
        plot.add("must be", Mark::Target, [(100.0, 0.0)]);
        plot.write(folder.path())?;
        let svg = std::fs::read_to_string(folder.path().join("cost.svg"))?;
        for words in ["ours", "theirs", "must be", "rules"] {
            assert!(svg.contains(words), "no `{words}` in {svg}");
        }
        assert!(!svg.contains("nothing measured"));
        Ok(())
    }
}
