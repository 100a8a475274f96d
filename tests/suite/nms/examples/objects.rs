//! An object is created (5.1) and read (5.2).

use reqwest::Method;
use tocsin::base::Format;

use super::{Stage, twin};
use crate::nms::form;
use crate::support::client::Answer;

impl Stage {
    /// Posts an object in a form, with this attachment.
    async fn create(&self, object: &super::Twin, headers: &str, attachment: &[u8]) -> Answer {
        let root = (self.written(object), format!("Content-Type: {}", self.media()));
        let entries = [("root-fields", root.1.as_str(), root.0.as_bytes()), ("attachments", headers, attachment)];
        let headers = [("content-type", "multipart/form-data; boundary=OUT"), ("accept", self.media())];
        self.server.api.send_bytes(Method::POST, &self.url("{B}/objects"), &headers, Some(form(&entries))).await
    }
}

/// Creates the message of the examples, `o-1001` in `/main/chat-42`, and goes on as the one who did.
async fn create_object(mut stage: Stage) -> Stage {
    let message = twin(
        r#"{"object":{"parentFolderPath":"/main/chat-42",
             "attributes":{"attribute":[
               {"name":"Message-Context","value":["pager-message"]},
               {"name":"Direction","value":["In"]},
               {"name":"From","value":["tel:+15550002222"]},
               {"name":"To","value":["tel:+15550001111"]},
               {"name":"Date","value":["2024-05-06T07:08:09Z"]}]},
             "flags":{"flag":["\\Flagged"]},
             "correlationId":"mid-7788","correlationTag":"9f3c21aa"}}"#,
        r"<nms:object><parentFolderPath>/main/chat-42</parentFolderPath>
            <attributes>
              <attribute><name>Message-Context</name><value>pager-message</value></attribute>
              <attribute><name>Direction</name><value>In</value></attribute>
              <attribute><name>From</name><value>tel:+15550002222</value></attribute>
              <attribute><name>To</name><value>tel:+15550001111</value></attribute>
              <attribute><name>Date</name><value>2024-05-06T07:08:09Z</value></attribute>
            </attributes>
            <flags><flag>\Flagged</flag></flags>
            <correlationId>mid-7788</correlationId><correlationTag>9f3c21aa</correlationTag></nms:object>",
    );
    let answer = stage.create(&message, "Content-Type: text/plain; charset=utf-8", b"See you at six.").await;
    let reference = twin(
        r#"{"reference":{"resourceURL":"{B}/objects/o-1001","path":"/main/chat-42/o-1001"}}"#,
        "<nms:reference><resourceURL>{B}/objects/o-1001</resourceURL><path>/main/chat-42/o-1001</path></nms:reference>",
    );
    stage.is_at(&answer, "{B}/objects/o-1001");
    stage.is(&answer, 201, &reference);
    stage
}

#[tokio::test]
async fn s5_1_create_object_json() {
    create_object(Stage::new(Format::Json).await).await.end().await;
}

#[tokio::test]
async fn s5_1_create_object_xml() {
    create_object(Stage::new(Format::Xml).await).await.end().await;
}

/// A short text is an attribute: there is neither a payloadURL nor a payloadPart. Attributes have no order.
async fn read_object(stage: Stage) {
    let mut stage = create_object(stage).await;
    let answer = stage.ask(Method::GET, "{B}/objects/o-1001").await;
    let object = twin(
        r#"{"object":{"parentFolder":"{B}/folders/f-42",
             "attributes":{"attribute":[
               {"name":"To","value":["tel:+15550001111"]},
               {"name":"Date","value":["2024-05-06T07:08:09Z"]},
               {"name":"From","value":["tel:+15550002222"]},
               {"name":"Direction","value":["In"]},
               {"name":"TextContent","value":["See you at six."]},
               {"name":"Content-Type","value":["text/plain; charset=utf-8"]},
               {"name":"Message-Context","value":["pager-message"]}]},
             "flags":{"flag":["\\Flagged"],"resourceURL":"{B}/objects/o-1001/flags"},
             "resourceURL":"{B}/objects/o-1001","path":"/main/chat-42/o-1001",
             "lastModSeq":5012,"correlationId":"mid-7788","correlationTag":"9f3c21aa"}}"#,
        r"<nms:object><parentFolder>{B}/folders/f-42</parentFolder>
            <attributes>
              <attribute><name>To</name><value>tel:+15550001111</value></attribute>
              <attribute><name>Date</name><value>2024-05-06T07:08:09Z</value></attribute>
              <attribute><name>From</name><value>tel:+15550002222</value></attribute>
              <attribute><name>Direction</name><value>In</value></attribute>
              <attribute><name>TextContent</name><value>See you at six.</value></attribute>
              <attribute><name>Content-Type</name><value>text/plain; charset=utf-8</value></attribute>
              <attribute><name>Message-Context</name><value>pager-message</value></attribute>
            </attributes>
            <flags><flag>\Flagged</flag><resourceURL>{B}/objects/o-1001/flags</resourceURL></flags>
            <resourceURL>{B}/objects/o-1001</resourceURL><path>/main/chat-42/o-1001</path>
            <lastModSeq>5012</lastModSeq><correlationId>mid-7788</correlationId>
            <correlationTag>9f3c21aa</correlationTag></nms:object>",
    );
    stage.is(&answer, 200, &object);
    stage.end().await;
}

#[tokio::test]
async fn s5_2_read_object_json() {
    read_object(Stage::new(Format::Json).await).await;
}

#[tokio::test]
async fn s5_2_read_object_xml() {
    read_object(Stage::new(Format::Xml).await).await;
}

/// A text of 21 bytes and a picture of 34567, whose parts each have a URL.
async fn read_multipart_object(mut stage: Stage) {
    let mut payload = b"--IN\r\nContent-Type: text/plain\r\n\r\nA picture of the sea.\r\n\
        --IN\r\nContent-Type: image/jpeg\r\nContent-ID: <img1>\r\n\r\n"
        .to_vec();
    payload.extend_from_slice(&[7; 34567]);
    payload.extend_from_slice(b"\r\n--IN--\r\n");
    let message = twin(
        r#"{"object":{"attributes":{"attribute":[{"name":"Date","value":["2024-05-06T07:08:09Z"]}]}}}"#,
        "<nms:object><attributes><attribute><name>Date</name><value>2024-05-06T07:08:09Z</value></attribute>\
         </attributes></nms:object>",
    );
    let answer = stage.create(&message, "Content-Type: multipart/mixed; boundary=IN", &payload).await;
    stage.is_at(&answer, "{B}/objects/o-1002");
    let answer = stage.ask(Method::GET, "{B}/objects/o-1002").await;
    let object = twin(
        r#"{"object":{"parentFolder":"{B}/folders/f-root",
             "attributes":{"attribute":[
               {"name":"Date","value":["2024-05-06T07:08:09Z"]},
               {"name":"Content-Type","value":["multipart/mixed; boundary=IN"]}]},
             "flags":{"flag":[],"resourceURL":"{B}/objects/o-1002/flags"},
             "resourceURL":"{B}/objects/o-1002","path":"/o-1002",
             "payloadURL":"{B}/objects/o-1002/payload",
             "payloadPart":[{"contentType":"text/plain","size":21,"href":"{B}/objects/o-1002/payloadParts/p1"},
               {"contentType":"image/jpeg","contentId":"img1","size":34567,"href":"{B}/objects/o-1002/payloadParts/p2"}],
             "lastModSeq":5013}}"#,
        r"<nms:object><parentFolder>{B}/folders/f-root</parentFolder>
            <attributes>
              <attribute><name>Date</name><value>2024-05-06T07:08:09Z</value></attribute>
              <attribute><name>Content-Type</name><value>multipart/mixed; boundary=IN</value></attribute>
            </attributes>
            <flags><resourceURL>{B}/objects/o-1002/flags</resourceURL></flags>
            <resourceURL>{B}/objects/o-1002</resourceURL><path>/o-1002</path>
            <payloadURL>{B}/objects/o-1002/payload</payloadURL>
            <payloadPart><contentType>text/plain</contentType><size>21</size>
              <href>{B}/objects/o-1002/payloadParts/p1</href></payloadPart>
            <payloadPart><contentType>image/jpeg</contentType><contentId>img1</contentId><size>34567</size>
              <href>{B}/objects/o-1002/payloadParts/p2</href></payloadPart>
            <lastModSeq>5013</lastModSeq></nms:object>",
    );
    stage.is(&answer, 200, &object);
    stage.end().await;
}

#[tokio::test]
async fn s5_2_read_multipart_object_json() {
    read_multipart_object(Stage::new(Format::Json).await).await;
}

#[tokio::test]
async fn s5_2_read_multipart_object_xml() {
    read_multipart_object(Stage::new(Format::Xml).await).await;
}
