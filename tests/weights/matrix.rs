//! Tensors found by name and viewed in place.

use selfattn::weights::{Family, FileDtype, JsonStr, Names, Part, SafeTensors, TensorName};
use selfattn::{Dtype, Element, Error, Matrix};

use crate::writer::{Placed, entry, file, object, tensors};

const WORDS: &str = "embeddings.word_embeddings.weight";
const POSITIONS: &str = "embeddings.position_embeddings.weight";
const SCALE: &str = "embeddings.LayerNorm.weight";

fn name(file: &SafeTensors<'_>, part: Part) -> TensorName {
    Names::detect(file, Family::Bert).unwrap().name(0, part)
}

fn row(matrix: Matrix<'_>, i: usize) -> Vec<f32> {
    let mut out = vec![0.0; matrix.cols()];
    matrix.read_row(i, &mut out).unwrap();
    out
}

#[test]
fn numbers_are_those_of_the_file() {
    let bytes = Placed::new(&tensors(&[(WORDS, "F32", &[2, 3]), (SCALE, "F32", &[3])]), 0);
    let file = SafeTensors::new(bytes.bytes()).unwrap();
    let words = file.matrix(name(&file, Part::WordEmbeddings), 2, 3).unwrap();
    assert_eq!((words.dtype(), words.rows(), words.cols()), (Dtype::F32, 2, 3));
    assert_eq!([row(words, 0), row(words, 1)], [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]);
    let scale = file.matrix(name(&file, Part::EmbeddingsNormWeight), 1, 3).unwrap();
    assert_eq!(row(scale, 0), [6.0, 7.0, 8.0]);

    // In place: the view is of the file's own bytes.
    let Matrix::F32(view) = words else { panic!() };
    assert_eq!(view.row(0).as_ptr().cast(), file.find(WORDS).unwrap().data().as_ptr());
}

#[test]
fn half_precision() {
    fn check<E: Element>(dtype: &str, expected: Dtype, bits: impl Fn(E) -> u16) {
        let data: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|&x| bits(E::from_f32(x)).to_le_bytes()).collect();
        let mut header = object(&[entry(WORDS, dtype, &[1, 2], 0, 4)]);
        header.extend(std::iter::repeat_n(' ', header.len() % 2));
        let bytes = Placed::new(&file(&header, &data), 0);
        let file = SafeTensors::new(bytes.bytes()).unwrap();
        let words = file.matrix(name(&file, Part::WordEmbeddings), 1, 2).unwrap();
        assert_eq!((words.dtype(), row(words, 0)), (expected, vec![1.5, -2.0]));
    }
    check::<half::f16>("F16", Dtype::F16, half::f16::to_bits);
    check::<half::bf16>("BF16", Dtype::Bf16, half::bf16::to_bits);
}

#[test]
fn misaligned_bytes_are_refused_and_never_cast() {
    for (dtype, align) in [("F32", 4), ("F16", 2), ("BF16", 2)] {
        let bytes = tensors(&[(WORDS, dtype, &[4, 2])]);
        for offset in 0..16 {
            let placed = Placed::new(&bytes, offset);
            let file = SafeTensors::new(placed.bytes()).unwrap();
            let words = file.matrix(name(&file, Part::WordEmbeddings), 4, 2).map(|words| words.rows());
            let expected = if offset % align == 0 { Ok(4) } else { Err(Error::Misaligned { arg: "bytes", align }) };
            assert_eq!(words, expected, "{dtype} at {offset}");
        }
    }
}

#[test]
fn tensors_without_elements_need_no_alignment() {
    for offset in 0..4 {
        let placed = Placed::new(&tensors(&[(WORDS, "F32", &[0, 3])]), offset);
        let file = SafeTensors::new(placed.bytes()).unwrap();
        assert!(file.matrix(name(&file, Part::WordEmbeddings), 0, 3).is_ok());
    }
}

#[test]
fn wrong_shapes_types_and_names() {
    let list: [(&str, &str, &[usize]); 4] = [
        (WORDS, "F32", &[2, 3]),
        (SCALE, "F32", &[3]),
        (POSITIONS, "F32", &[1, 2, 3]),
        ("embeddings.token_type_embeddings.weight", "I64", &[1, 3]),
    ];
    let bytes = Placed::new(&tensors(&list), 0);
    let file = SafeTensors::new(bytes.bytes()).unwrap();
    let error = |part, rows, cols| file.matrix(name(&file, part), rows, cols).map(|_| ()).unwrap_err();
    let shape = |part, expected, got| Error::TensorShape { tensor: name(&file, part), expected, got };

    for [rows, cols] in [[3, 2], [2, 2], [1, 6], [6, 1], [usize::MAX, usize::MAX]] {
        assert_eq!(error(Part::WordEmbeddings, rows, cols), shape(Part::WordEmbeddings, [rows, cols], [2, 3]));
    }
    assert_eq!(error(Part::EmbeddingsNormWeight, 3, 1), shape(Part::EmbeddingsNormWeight, [3, 1], [1, 3]));
    assert_eq!(error(Part::PositionEmbeddings, 2, 3), shape(Part::PositionEmbeddings, [2, 3], [0, 0]));
    let types = name(&file, Part::TokenTypeEmbeddings);
    assert_eq!(error(Part::TokenTypeEmbeddings, 1, 3), Error::TensorType { tensor: types });
    let bias = name(&file, Part::EmbeddingsNormBias);
    assert_eq!(error(Part::EmbeddingsNormBias, 1, 3), Error::MissingTensor { tensor: bias });
    assert_eq!(Error::MissingTensor { tensor: bias }.to_string().matches("`embeddings.LayerNorm.bias`").count(), 1);
}

#[test]
fn infos_tell_what_the_header_says() {
    let bytes = tensors(&[("a", "F32", &[]), ("\\u0062\\n", "I64", &[2, 1, 3]), ("c", "F16", &[0])]);
    let file = SafeTensors::new(&bytes).unwrap();
    let all: Vec<_> = file.tensors().collect();
    assert_eq!(all.len(), file.len());
    let shapes: Vec<Vec<usize>> = all.iter().map(|tensor| tensor.shape().collect()).collect();
    assert_eq!(shapes, [vec![], vec![2, 1, 3], vec![0]]);
    assert_eq!(all.iter().map(|tensor| tensor.rank()).collect::<Vec<_>>(), [0, 3, 1]);
    assert_eq!(all.iter().map(|tensor| tensor.data().len()).collect::<Vec<_>>(), [4, 48, 0]);
    assert_eq!(
        all.iter().map(|tensor| tensor.dtype()).collect::<Vec<_>>(),
        [FileDtype::F32, FileDtype::I64, FileDtype::F16]
    );
    assert_eq!(all[1].name().to_string(), "b\n");
    assert_eq!(file.find("b\n").map(|tensor| tensor.name().raw()), Some("\\u0062\\n"));
    assert!(file.find("\\u0062\\n").is_none() && file.find("b").is_none() && file.find("").is_none());
    assert_eq!(format!("{:?}", all[1]), "\"\\u0062\\n\": I64 [2, 1, 3] at 4..52");
    // A shape is over once and for all.
    let mut shape = all[1].shape();
    assert_eq!(shape.by_ref().count(), 3);
    assert!((0..9).all(|_| shape.next().is_none()));
}

#[test]
fn names_are_compared_without_their_escapes() {
    let escaped = WORDS.replace('w', "\\u0077").replace('.', "\\u002E");
    let bytes = Placed::new(&tensors(&[(&escaped, "F32", &[1, 1])]), 0);
    let file = SafeTensors::new(bytes.bytes()).unwrap();
    let words = name(&file, Part::WordEmbeddings);
    assert!(file.matrix(words, 1, 1).is_ok());
    let names = Names::detect(&file, Family::Bert).unwrap();
    assert_eq!(names.check_no_unknown(&file, 1), Ok(()));
    let of_file: JsonStr<'_> = file.tensors().next().unwrap().name();
    assert_eq!((of_file.as_str(), of_file.to_string()), (None, words.to_string()));
}
