//! Many items in one request (5.12).

use reqwest::Method;
use tocsin::base::Format;

use super::{Stage, twin};

async fn bulk_update(mut stage: Stage) {
    stage.has_object("o-1001", "/main", "").await;
    let update = twin(
        r#"{"bulkUpdate":{"objects":{"objectReference":[{"resourceURL":"{B}/objects/o-1001"},{"resourceURL":"{B}/objects/o-404"}]},
             "operation":"AddFlag","flags":{"flag":["\\Seen"]}}}"#,
        r"<nms:bulkUpdate><objects>
            <objectReference><resourceURL>{B}/objects/o-1001</resourceURL></objectReference>
            <objectReference><resourceURL>{B}/objects/o-404</resourceURL></objectReference></objects>
            <operation>AddFlag</operation><flags><flag>\Seen</flag></flags></nms:bulkUpdate>",
    );
    let answer = stage.say(Method::POST, "{B}/objects/operations/bulkUpdate", &update).await;
    let responses = twin(
        r#"{"bulkResponseList":{"response":[
             {"code":200,"reason":"OK","success":{"resourceURL":"{B}/objects/o-1001"}},
             {"code":404,"reason":"Not Found","failure":{"serviceException":{"messageId":"SVC0004",
                "text":"No valid addresses provided in message part %1","variables":["{B}/objects/o-404"]}}}]}}"#,
        "<nms:bulkResponseList>
           <response><code>200</code><reason>OK</reason>
             <success><resourceURL>{B}/objects/o-1001</resourceURL></success></response>
           <response><code>404</code><reason>Not Found</reason><failure><serviceException><messageId>SVC0004</messageId>
             <text>No valid addresses provided in message part %1</text>
             <variables>{B}/objects/o-404</variables></serviceException></failure></response></nms:bulkResponseList>",
    );
    stage.is(&answer, 200, &responses);
    stage.end().await;
}

#[tokio::test]
async fn s5_12_bulk_update_json() {
    bulk_update(Stage::new(Format::Json).await).await;
}

#[tokio::test]
async fn s5_12_bulk_update_xml() {
    bulk_update(Stage::new(Format::Xml).await).await;
}

/// By either verb.
async fn bulk_delete(mut stage: Stage) {
    for method in [Method::DELETE, Method::POST] {
        stage.has_object("o-1001", "/main", "").await;
        let delete = twin(
            r#"{"bulkDelete":{"objects":{"objectReference":[{"resourceURL":"{B}/objects/o-1001"}]}}}"#,
            "<nms:bulkDelete><objects><objectReference><resourceURL>{B}/objects/o-1001</resourceURL></objectReference>\
             </objects></nms:bulkDelete>",
        );
        let answer = stage.say(method, "{B}/objects/operations/bulkDelete", &delete).await;
        let responses = twin(
            r#"{"bulkResponseList":{"response":[
                 {"code":200,"reason":"OK","success":{"resourceURL":"{B}/objects/o-1001"}}]}}"#,
            "<nms:bulkResponseList><response><code>200</code><reason>OK</reason>\
             <success><resourceURL>{B}/objects/o-1001</resourceURL></success></response></nms:bulkResponseList>",
        );
        stage.is(&answer, 200, &responses);
        assert_eq!(stage.ask(Method::GET, "{B}/objects/o-1001").await.status, 404);
    }
    stage.end().await;
}

#[tokio::test]
async fn s5_12_bulk_delete_json() {
    bulk_delete(Stage::new(Format::Json).await).await;
}

#[tokio::test]
async fn s5_12_bulk_delete_xml() {
    bulk_delete(Stage::new(Format::Xml).await).await;
}

async fn move_to_folder(mut stage: Stage) {
    stage.has_folder("f-root", "f-main", "main").await;
    stage.has_folder("f-main", "f-77", "trip-2024").await;
    stage.has_object("o-1001", "/main", "").await;
    let wish = twin(
        r#"{"targetSourceRef":{"targetRef":{"resourceURL":"{B}/folders/f-77"},
             "sourceRefs":{"folders":{"folderReference":[]},
               "objects":{"objectReference":[{"resourceURL":"{B}/objects/o-1001"}]}}}}"#,
        "<nms:targetSourceRef><targetRef><resourceURL>{B}/folders/f-77</resourceURL></targetRef>
           <sourceRefs><folders/>
             <objects><objectReference><resourceURL>{B}/objects/o-1001</resourceURL></objectReference></objects>
           </sourceRefs></nms:targetSourceRef>",
    );
    let answer = stage.say(Method::POST, "{B}/folders/operations/moveToFolder", &wish).await;
    let responses = twin(
        r#"{"bulkResponseList":{"response":[{"code":200,"reason":"OK",
             "success":{"resourceURL":"{B}/objects/o-1001","path":"/main/trip-2024/o-1001"}}]}}"#,
        "<nms:bulkResponseList><response><code>200</code><reason>OK</reason><success>
           <resourceURL>{B}/objects/o-1001</resourceURL><path>/main/trip-2024/o-1001</path></success>
         </response></nms:bulkResponseList>",
    );
    stage.is(&answer, 200, &responses);
    stage.end().await;
}

#[tokio::test]
async fn s5_12_move_to_folder_json() {
    move_to_folder(Stage::new(Format::Json).await).await;
}

#[tokio::test]
async fn s5_12_move_to_folder_xml() {
    move_to_folder(Stage::new(Format::Xml).await).await;
}

async fn path_to_id(mut stage: Stage) {
    stage.has_object("o-1001", "/main/chat-42", "").await;
    let paths = twin(
        r#"{"pathList":{"path":["/main/chat-42/o-1001","/main//x"]}}"#,
        "<nms:pathList><path>/main/chat-42/o-1001</path><path>/main//x</path></nms:pathList>",
    );
    let answer = stage.say(Method::POST, "{B}/objects/operations/pathToId", &paths).await;
    let responses = twin(
        r#"{"bulkResponseList":{"response":[
             {"code":200,"reason":"OK","success":{"resourceURL":"{B}/objects/o-1001","path":"/main/chat-42/o-1001"}},
             {"code":400,"reason":"Bad Request","failure":{"serviceException":{"messageId":"SVC0002",
               "text":"Invalid input value for message part %1","variables":["/main//x"]}}}]}}"#,
        "<nms:bulkResponseList>
           <response><code>200</code><reason>OK</reason><success><resourceURL>{B}/objects/o-1001</resourceURL>
             <path>/main/chat-42/o-1001</path></success></response>
           <response><code>400</code><reason>Bad Request</reason><failure><serviceException>
             <messageId>SVC0002</messageId><text>Invalid input value for message part %1</text>
             <variables>/main//x</variables></serviceException></failure></response></nms:bulkResponseList>",
    );
    stage.is(&answer, 200, &responses);
    let answer = stage.ask(Method::GET, "{B}/objects/operations/pathToId?path=%2Fmain%2Fchat-42%2Fo-1001").await;
    let reference = twin(
        r#"{"reference":{"resourceURL":"{B}/objects/o-1001","path":"/main/chat-42/o-1001"}}"#,
        "<nms:reference><resourceURL>{B}/objects/o-1001</resourceURL><path>/main/chat-42/o-1001</path></nms:reference>",
    );
    stage.is(&answer, 200, &reference);
    stage.end().await;
}

#[tokio::test]
async fn s5_12_path_to_id_json() {
    path_to_id(Stage::new(Format::Json).await).await;
}

#[tokio::test]
async fn s5_12_path_to_id_xml() {
    path_to_id(Stage::new(Format::Xml).await).await;
}
