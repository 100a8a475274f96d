//! What is refused (5.13).

use reqwest::Method;
use tocsin::base::Format;

use super::{Stage, twin};

async fn faults(mut stage: Stage) {
    stage.has_object("o-1001", "/main", "").await;
    let unknown = twin(
        r#"{"requestError":{"link":[{"rel":"NmsSubscription","href":"{B}/subscriptions/s-99"}],
             "serviceException":{"messageId":"SVC0004","text":"No valid addresses provided in message part %1",
               "variables":["Request-URI"]}}}"#,
        r#"<common:requestError><link rel="NmsSubscription" href="{B}/subscriptions/s-99"/>
             <serviceException><messageId>SVC0004</messageId>
               <text>No valid addresses provided in message part %1</text>
               <variables>Request-URI</variables></serviceException></common:requestError>"#,
    );
    let answer = stage.ask(Method::GET, "{B}/subscriptions/s-99").await;
    stage.is(&answer, 404, &unknown);

    // Here nothing can be put into a folder that is not there.
    let wish = twin(
        r#"{"targetSourceRef":{"targetRef":{"resourceURL":"{B}/folders/system"},
             "sourceRefs":{"folders":{"folderReference":[]},
               "objects":{"objectReference":[{"resourceURL":"{B}/objects/o-1001"}]}}}}"#,
        "<nms:targetSourceRef><targetRef><resourceURL>{B}/folders/system</resourceURL></targetRef>
           <sourceRefs><folders/>
             <objects><objectReference><resourceURL>{B}/objects/o-1001</resourceURL></objectReference></objects>
           </sourceRefs></nms:targetSourceRef>",
    );
    let prohibited = twin(
        r#"{"requestError":{"policyException":{"messageId":"POL1031",
             "text":"Attempt to create objects or folders under %1 is prohibited","variables":["{B}/folders/system"]}}}"#,
        "<common:requestError><policyException><messageId>POL1031</messageId>
           <text>Attempt to create objects or folders under %1 is prohibited</text>
           <variables>{B}/folders/system</variables></policyException></common:requestError>",
    );
    let answer = stage.say(Method::POST, "{B}/folders/operations/copyToFolder", &wish).await;
    stage.is(&answer, 403, &prohibited);

    let wish = twin(
        r#"{"nmsSubscription":{"callbackReference":{"notifyURL":"https://example.com/"},"restartToken":"garbage"}}"#,
        "<nms:nmsSubscription><callbackReference><notifyURL>https://example.com/</notifyURL></callbackReference>\
         <restartToken>garbage</restartToken></nms:nmsSubscription>",
    );
    let invalid = twin(
        r#"{"requestError":{"serviceException":{"messageId":"SVC0002",
             "text":"Invalid input value for message part %1","variables":["restartToken"]}}}"#,
        "<common:requestError><serviceException><messageId>SVC0002</messageId>
           <text>Invalid input value for message part %1</text>
           <variables>restartToken</variables></serviceException></common:requestError>",
    );
    let answer = stage.say(Method::POST, "{B}/subscriptions", &wish).await;
    stage.is(&answer, 400, &invalid);

    let answer = stage.ask(Method::PUT, "{B}/objects/o-1001").await;
    stage.is_bare(&answer, 405);
    assert_eq!(answer.header("allow"), "GET, DELETE");
    stage.end().await;
}

#[tokio::test]
async fn s5_13_faults_json() {
    faults(Stage::new(Format::Json).await).await;
}

#[tokio::test]
async fn s5_13_faults_xml() {
    faults(Stage::new(Format::Xml).await).await;
}
