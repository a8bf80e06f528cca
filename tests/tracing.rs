//! The bridge to the crate `tracing`: a subscriber gets the spans that the records have, entered and left in their order.

#![cfg(feature = "tracing")]

mod common;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use common::model::{Model, Sizes, Spelling};
use common::run::{Text, embed, with_encoder};
use selfattn::profile::{Profiler, Record, Span, Tracing};
use selfattn::{Engine, Level};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Metadata, Subscriber};

/// What a subscriber was told, in order.
#[derive(Debug, PartialEq)]
enum Told {
    New(BTreeMap<&'static str, String>),
    Enter(u64),
    Exit(u64),
    Close(u64),
}

#[derive(Clone, Default)]
struct Listener(Arc<Mutex<Vec<Told>>>);

impl Listener {
    fn push(&self, told: Told) -> u64 {
        let mut all = self.0.lock().unwrap();
        all.push(told);
        all.iter().filter(|told| matches!(told, Told::New(_))).count() as u64
    }
}

struct Fields(BTreeMap<&'static str, String>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name(), format!("{value:?}"));
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "selfattn"
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut fields = Fields(BTreeMap::new());
        attributes.record(&mut fields);
        // The first span is 1.
        Id::from_u64(self.push(Told::New(fields.0)))
    }

    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, id: &Id) {
        self.push(Told::Enter(id.into_u64()));
    }

    fn exit(&self, id: &Id) {
        self.push(Told::Exit(id.into_u64()));
    }

    fn try_close(&self, id: Id) -> bool {
        self.push(Told::Close(id.into_u64()));
        true
    }
}

/// What a span says of itself, in the words of the bridge.
fn fields_of(span: &Span) -> BTreeMap<&'static str, String> {
    let types = span.types.map(|dtype| dtype.map(selfattn::Dtype::name));
    let name = format!("{:?}", span.operation.name());
    let mut fields = BTreeMap::from([
        ("otel.name", name.clone()),
        ("operation", name),
        ("shape", format!("{:?}", span.shape)),
        ("types", format!("{types:?}")),
        ("level", format!("{:?}", span.level.name())),
        ("flops", span.flops.to_string()),
        ("read", span.read.to_string()),
        ("written", span.written.to_string()),
    ]);
    if let Some(layer) = span.layer {
        fields.insert("layer", layer.to_string());
    }
    fields
}

#[test]
fn a_subscriber_gets_every_span_closed_and_nested_as_the_records_have_it() {
    let records: Vec<Record> = (0..500).map(|_| Record::EMPTY).collect();
    let profiler = Profiler::new(|| 0, &records).observer(&Tracing);
    let engine = Engine::new().with_profiler(&profiler);
    let model = Model::random(Spelling::Bert, Sizes::default(), 9);
    let listener = Listener::default();
    tracing::subscriber::with_default(listener.clone(), || {
        with_encoder(&model.config_json(), &model.safetensors(), None, |encoder| {
            embed(encoder, engine, &Text::of(&[3, 1, 4, 1, 5]));
        });
    });

    let spans: Vec<Span> = profiler.spans().map(|(_, span)| span).collect();
    let told = listener.0.lock().unwrap();
    let new: Vec<_> =
        told.iter().filter_map(|told| if let Told::New(fields) = told { Some(fields) } else { None }).collect();
    assert!(spans.len() > 20, "{}", spans.len());
    assert_eq!(new.len(), spans.len());
    for (fields, span) in new.iter().zip(&spans) {
        assert_eq!(**fields, fields_of(span));
    }

    // Entered once and left in the reverse order, below the parent that the record names; each ends.
    let (mut open, mut closed) = (Vec::new(), 0);
    for told in told.iter() {
        match *told {
            Told::New(_) => {}
            Told::Enter(id) => {
                let parent = spans[id as usize - 1].parent.map(|parent| parent as u64 + 1);
                assert_eq!(open.last().copied(), parent);
                open.push(id);
            }
            Told::Exit(id) => assert_eq!(open.pop(), Some(id)),
            Told::Close(_) => closed += 1,
        }
    }
    assert_eq!((open.len(), closed), (0, spans.len()));
}

#[test]
fn a_level_is_in_each_span() {
    let profiler = Profiler::new(|| 0, &[]).observer(&Tracing);
    for level in Level::available() {
        let listener = Listener::default();
        tracing::subscriber::with_default(listener.clone(), || {
            let engine = Engine::new().with_level(level).with_profiler(&profiler);
            engine.softmax(selfattn::MatMut::new(&mut [1.0, 2.0], 1, 2).unwrap());
        });
        let told = listener.0.lock().unwrap();
        let [Told::New(fields), Told::Enter(1), Told::Exit(1), Told::Close(1)] = &told[..] else {
            panic!("{told:?}");
        };
        assert_eq!(fields["level"], format!("{:?}", level.name()));
        assert_eq!(fields["operation"], "\"softmax\"");
    }
}
