//! Flags are replaced, set and looked for (5.11).

use reqwest::Method;
use tocsin::base::Format;

use super::{Stage, twin};

async fn flags(mut stage: Stage) {
    stage.has_object("o-1001", "/main", "").await;
    let list = twin(
        r#"{"flagList":{"flag":["\\Seen","\\Flagged"],"resourceURL":"{B}/objects/o-1001/flags"}}"#,
        r"<nms:flagList><flag>\Seen</flag><flag>\Flagged</flag>
            <resourceURL>{B}/objects/o-1001/flags</resourceURL></nms:flagList>",
    );
    let answer = stage.say(Method::PUT, "{B}/objects/o-1001/flags", &list).await;
    stage.is(&answer, 200, &list);
    let answer = stage.ask(Method::GET, "{B}/objects/o-1001/flags").await;
    stage.is(&answer, 200, &list);

    let empty = twin(r#"{"empty":null}"#, "<nms:empty/>");
    let answered = "{B}/objects/o-1001/flags/%5CAnswered";
    let answer = stage.say(Method::PUT, answered, &empty).await;
    stage.is_at(&answer, answered);
    stage.is(&answer, 201, &empty);
    stage.is_bare(&stage.say(Method::PUT, answered, &empty).await, 204);
    stage.is_bare(&stage.ask(Method::GET, answered).await, 204);
    stage.is_bare(&stage.ask(Method::DELETE, answered).await, 204);
    let answer = stage.ask(Method::DELETE, answered).await;
    stage.is(&answer, 404, &empty);
    let answer = stage.ask(Method::GET, "{B}/objects/o-1001/flags/%5CDraft").await;
    stage.is(&answer, 404, &empty);
    stage.end().await;
}

#[tokio::test]
async fn s5_11_flags_json() {
    flags(Stage::new(Format::Json).await).await;
}

#[tokio::test]
async fn s5_11_flags_xml() {
    flags(Stage::new(Format::Xml).await).await;
}
