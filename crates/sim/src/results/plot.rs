//! Plots as SVG, all in one style: panels side by side, one legend below.

use std::error::Error;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

pub use super::axis::Axis;
use super::clip;
use crate::compare::Estimate;

/// Colours that people with any colour vision tell apart (Okabe and Ito). The first one is of what is reported on.
const COLOURS: [RGBColor; 6] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(213, 94, 0),
    RGBColor(120, 120, 120),
];

const PANEL: (u32, u32) = (560, 360);
const TITLE: u32 = 34;
const LEGEND_ROW: u32 = 22;
const LEGEND_COLUMN: u32 = 370;
const FONT: &str = "sans-serif";

/// A line and what it is.
#[derive(Debug)]
pub struct Line {
    name: String,
    colour: usize,
    /// Where it goes.
    pub points: Vec<(f64, f64)>,
    /// Half the width of the interval of each point, for a band around the line; empty for none.
    halves: Vec<f64>,
}

impl Line {
    /// A line in a colour by its number; that of number 0 is stronger.
    pub fn new(name: &str, colour: usize, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.to_owned(), colour, points, halves: Vec::new() }
    }

    /// A line through estimates. That of number 0 has a band of its intervals: more of them would hide each other.
    pub fn through(name: &str, colour: usize, estimates: Vec<(f64, Estimate)>) -> Self {
        let points = estimates.iter().map(|(at, estimate)| (*at, estimate.mean)).collect();
        let halves = estimates.iter().map(|(_, estimate)| estimate.interval.unwrap_or(0.0));
        Self { halves: halves.filter(|_| colour == 0).collect(), ..Self::new(name, colour, points) }
    }

    fn colour(&self) -> RGBColor {
        COLOURS[self.colour % COLOURS.len()]
    }

    fn style(&self) -> ShapeStyle {
        self.colour().stroke_width(if self.colour == 0 { 3 } else { 2 })
    }
}

/// A panel.
#[derive(Debug)]
pub struct Panel {
    /// The axis to the right.
    pub x: Axis,
    /// The axis up. Lines end where it does.
    pub y: Axis,
    /// The lines; a panel with the same ones as the panel before needs no legend of its own.
    pub lines: Vec<Line>,
    /// Heights that are marked by a black line.
    pub levels: Vec<f64>,
}

/// What is plotted: the subject in the first colour, and others.
pub fn shown<'a>(subject: &'a str, others: &'a [&'a str]) -> impl Iterator<Item = (usize, &'a str)> {
    [subject].into_iter().chain(others.iter().copied()).enumerate()
}

/// Draws panels of the same lines under a title.
///
/// # Errors
/// Says what cannot be drawn.
pub fn draw(title: &str, panels: &[Panel]) -> Result<String, String> {
    let mut text = String::new();
    paint(&mut text, title, panels).map_err(|error| format!("{title}: {error}"))?;
    Ok(text)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn paint(text: &mut String, title: &str, panels: &[Panel]) -> Result<(), Box<dyn Error>> {
    let legend: &[Line] = panels.first().map_or(&[], |panel| &panel.lines);
    let width = PANEL.0 * panels.len() as u32;
    let columns = (width / LEGEND_COLUMN).max(1) as usize;
    let rows = legend.len().div_ceil(columns) as u32;
    let height = TITLE + PANEL.1 + LEGEND_ROW * rows + 10;
    let root = SVGBackend::with_string(text, (width, height)).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, rest) = root.split_vertically(TITLE);
    let (charts, foot) = rest.split_vertically(PANEL.1);
    let middle = Pos::new(HPos::Center, VPos::Center);
    head.draw(&Text::new(
        title.to_owned(),
        ((width / 2) as i32, (TITLE / 2 + 4) as i32),
        (FONT, 18).into_font().color(&BLACK).pos(middle),
    ))?;
    for (area, panel) in charts.split_evenly((1, panels.len())).iter().zip(panels) {
        paint_panel(area, panel)?;
    }
    for (at, line) in legend.iter().enumerate() {
        paint_name(&foot, line, ((at % columns) as u32 * LEGEND_COLUMN, (at / columns) as u32 * LEGEND_ROW))?;
    }
    root.present()?;
    Ok(())
}

fn paint_panel(area: &Area<'_>, panel: &Panel) -> Result<(), Box<dyn Error>> {
    let (x, y) = (&panel.x, &panel.y);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(x.clone(), y.clone())?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(BLACK.mix(0.1))
        .x_desc(&x.label)
        .y_desc(&y.label)
        .label_style((FONT, 12))
        .axis_desc_style((FONT, 14))
        .draw()?;
    let level = |height: &f64| PathElement::new([(x.from, *height), (x.to, *height)], BLACK);
    chart.draw_series(panel.levels.iter().map(level))?;
    // The first line is the one to see: it comes last.
    for line in panel.lines.iter().rev() {
        let band = clip::band(&line.points, &line.halves, y.from, y.to);
        chart.draw_series([Polygon::new(band, line.colour().mix(0.15).filled())])?;
        let pieces = clip::pieces(&line.points, y.from, y.to);
        chart.draw_series(pieces.into_iter().map(|piece| PathElement::new(piece, line.style())))?;
    }
    Ok(())
}

/// The name of a line beside a piece of it.
fn paint_name(area: &Area<'_>, line: &Line, (left, top): (u32, u32)) -> Result<(), Box<dyn Error>> {
    let (left, middle) = (left as i32 + 68, (top + LEGEND_ROW / 2) as i32);
    area.draw(&PathElement::new([(left, middle), (left + 26, middle)], line.style()))?;
    let style = (FONT, 14).into_font().color(&BLACK).pos(Pos::new(HPos::Left, VPos::Center));
    area.draw(&Text::new(line.name.clone(), (left + 34, middle), style))?;
    Ok(())
}
