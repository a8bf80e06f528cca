//! Text on pictures: the bundled font, and the machine's own for what it lacks.

use std::sync::{Arc, OnceLock};

use maud::html;
use resvg::usvg::fontdb::{Database, FaceInfo, Stretch, Style, Weight};
use resvg::usvg::{Options, Tree};

use crate::error::{Failure, Result};

/// Latin, Greek and Cyrillic. Its licence stands beside it.
const BUNDLED: &[u8] = include_bytes!("font/NotoSans-subset.ttf");
/// What a picture asks for.
pub const FAMILY: &str = "Noto Sans, sans-serif";

/// A picture, read for drawing or measuring.
pub fn tree(svg: &str) -> Result<Tree> {
    let options = Options { font_family: "Noto Sans".to_owned(), fontdb: fonts(), ..Options::default() };
    Tree::from_str(svg, &options).map_err(|error| Failure::failed(format!("the picture cannot be drawn: {error}")))
}

/// How wide each text is, in pixels.
pub fn widths(texts: &[String], size: f32) -> Result<Vec<f32>> {
    let picture = html! {
        svg xmlns="http://www.w3.org/2000/svg" width="1" height="1" font-family=(FAMILY) font-size=(size) {
            @for (i, text) in texts.iter().enumerate() { text id={ "t" (i) } { (text) } }
        }
    };
    let tree = tree(&picture.into_string())?;
    // A text of nothing but blanks has no node.
    let width = |i| tree.node_by_id(&format!("t{i}")).map_or(0.0, |node| node.abs_bounding_box().width());
    Ok((0..texts.len()).map(width).collect())
}

fn fonts() -> Arc<Database> {
    static FONTS: OnceLock<Arc<Database>> = OnceLock::new();
    FONTS.get_or_init(|| Arc::new(load())).clone()
}

/// The bundled font first, so that it is preferred to another version of the same; then the machine's upright ones of
/// usual weight, those without serifs first.
fn load() -> Database {
    let mut machine = Database::new();
    machine.load_system_fonts();
    let usual =
        |face: &&FaceInfo| (face.weight, face.style, face.stretch) == (Weight::NORMAL, Style::Normal, Stretch::Normal);
    let mut faces: Vec<FaceInfo> = machine.faces().filter(usual).cloned().collect();
    faces.sort_by_key(|face| !face.families.iter().any(|(name, _)| name.contains("Sans")));
    let mut fonts = Database::new();
    fonts.load_font_data(BUNDLED.to_vec());
    for face in faces {
        fonts.push_face_info(face);
    }
    fonts
}
