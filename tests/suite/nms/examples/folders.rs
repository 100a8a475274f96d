//! A folder is created and renamed (5.5).

use reqwest::Method;
use tocsin::base::Format;

use super::{Stage, twin};

async fn create_and_rename_folder(mut stage: Stage) {
    stage.has_folder("f-root", "f-main", "main").await;
    let wish = twin(
        r#"{"folder":{"parentFolder":"{B}/folders/f-main","attributes":{"attribute":[]},"name":"trip"}}"#,
        "<nms:folder><parentFolder>{B}/folders/f-main</parentFolder><attributes/><name>trip</name></nms:folder>",
    );
    let answer = stage.say(Method::POST, "{B}/folders", &wish).await;
    stage.is_at(&answer, "{B}/folders/f-77");
    let folder = twin(
        r#"{"folder":{"parentFolder":"{B}/folders/f-main",
             "attributes":{"attribute":[{"name":"Name","value":["trip"]},{"name":"Date","value":["2024-05-06T07:10:00Z"]}]},
             "resourceURL":"{B}/folders/f-77","path":"/main/trip","name":"trip","lastModSeq":5013}}"#,
        "<nms:folder><parentFolder>{B}/folders/f-main</parentFolder>
           <attributes><attribute><name>Name</name><value>trip</value></attribute>
             <attribute><name>Date</name><value>2024-05-06T07:10:00Z</value></attribute></attributes>
           <resourceURL>{B}/folders/f-77</resourceURL><path>/main/trip</path><name>trip</name>
           <lastModSeq>5013</lastModSeq></nms:folder>",
    );
    stage.is(&answer, 201, &folder);

    let name = twin(r#"{"name":"trip-2024"}"#, "<nms:name>trip-2024</nms:name>");
    let answer = stage.say(Method::PUT, "{B}/folders/f-77/folderName", &name).await;
    stage.is(&answer, 200, &name);
    let answer = stage.ask(Method::GET, "{B}/folders/f-77/folderName").await;
    stage.is(&answer, 200, &name);
    stage.end().await;
}

#[tokio::test]
async fn s5_5_create_and_rename_folder_json() {
    create_and_rename_folder(Stage::new(Format::Json).await).await;
}

#[tokio::test]
async fn s5_5_create_and_rename_folder_xml() {
    create_and_rename_folder(Stage::new(Format::Xml).await).await;
}
