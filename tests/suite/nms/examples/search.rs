//! Searches for objects, in batches and for what is new or gone (5.3), and for the root folder (5.4).

use reqwest::Method;
use tocsin::base::Format;

use super::{Stage, Twin, twin};

/// A search of the examples: what it says in both formats.
fn selection(json: &str, xml: &str) -> Twin {
    twin(
        &format!(r#"{{"selectionCriteria":{{{json}}}}}"#),
        &format!("<nms:selectionCriteria>{xml}</nms:selectionCriteria>"),
    )
}

/// An object as it is found, received on a day of May.
fn found(name: &str, seq: u32) -> (String, String) {
    let json = format!(
        r#"{{"parentFolder":"{{B}}/folders/f-main",
             "attributes":{{"attribute":[{{"name":"Date","value":["2024-05-06T07:08:09Z"]}},
               {{"name":"Direction","value":["In"]}}]}},
             "flags":{{"flag":[],"resourceURL":"{{B}}/objects/{name}/flags"}},
             "resourceURL":"{{B}}/objects/{name}","path":"/main/{name}","lastModSeq":{seq}}}"#
    );
    let xml = format!(
        "<object><parentFolder>{{B}}/folders/f-main</parentFolder>
           <attributes><attribute><name>Date</name><value>2024-05-06T07:08:09Z</value></attribute>
             <attribute><name>Direction</name><value>In</value></attribute></attributes>
           <flags><resourceURL>{{B}}/objects/{name}/flags</resourceURL></flags>
           <resourceURL>{{B}}/objects/{name}</resourceURL><path>/main/{name}</path><lastModSeq>{seq}</lastModSeq></object>"
    );
    (json, xml)
}

/// A list of what was found, and what it says after that.
fn object_list(objects: &[(String, String)], more: (&str, &str)) -> Twin {
    let (json, xml): (Vec<_>, Vec<_>) = objects.iter().cloned().unzip();
    twin(
        &format!(r#"{{"objectList":{{"object":[{}]{}}}}}"#, json.join(","), more.0),
        &format!("<nms:objectList>{}{}</nms:objectList>", xml.concat(), more.1),
    )
}

const CRITERIA: (&str, &str) = (
    r#""maxEntries":2,
       "searchCriteria":{"criterion":[
         {"type":"Attribute","name":"Direction","value":"In"},
         {"type":"Flag","name":"\\Seen","value":"false"},
         {"type":"Date","value":"minDate=2024-05-01T00:00:00Z"}],"operator":"And"},
       "searchScope":{"resourceURL":"{B}/folders/f-main"},
       "sortCriteria":{"criterion":[{"type":"Date","order":"Ascending"}]}"#,
    r"<maxEntries>2</maxEntries>
      <searchCriteria><criterion><type>Attribute</type><name>Direction</name><value>In</value></criterion>
        <criterion><type>Flag</type><name>\Seen</name><value>false</value></criterion>
        <criterion><type>Date</type><value>minDate=2024-05-01T00:00:00Z</value></criterion>
        <operator>And</operator></searchCriteria>
      <searchScope><resourceURL>{B}/folders/f-main</resourceURL></searchScope>
      <sortCriteria><criterion><type>Date</type><order>Ascending</order></criterion></sortCriteria>",
);

const RECEIVED: &str = r#","attributes":{"attribute":[{"name":"Direction","value":["In"]},
    {"name":"Date","value":["2024-05-06T07:08:09Z"]}]}"#;

impl Stage {
    /// Objects that the search of the examples finds, `o-1` to `o-3`, and others.
    async fn has_objects(&mut self) {
        self.has_folder("f-root", "f-main", "main").await;
        for name in ["o-1", "o-2", "o-3"] {
            self.has_object(name, "/main", RECEIVED).await;
        }
        self.has_object("o-900", "/main", r#","flags":{"flag":["\\Seen"]}"#).await;
        self.has_object("o-901", "/elsewhere", RECEIVED).await;
        self.has_object("o-902", "/main", r#","attributes":{"attribute":[{"name":"Direction","value":["Out"]}]}"#)
            .await;
    }
}

async fn search_in_batches(mut stage: Stage) {
    stage.has_objects().await;
    let search = "{B}/objects/operations/search";
    let first = selection(CRITERIA.0, CRITERIA.1);
    let answer = stage.say(Method::POST, search, &first).await;
    let two = [found("o-1", 5001), found("o-2", 5002)];
    stage.is(&answer, 200, &object_list(&two, (r#","cursor":"c-77""#, "<cursor>c-77</cursor>")));
    let next = selection(
        &format!(r#""fromCursor":"c-77",{}"#, CRITERIA.0),
        &format!("<fromCursor>c-77</fromCursor>{}", CRITERIA.1),
    );
    let answer = stage.say(Method::POST, search, &next).await;
    stage.is(&answer, 200, &object_list(&[found("o-3", 5003)], ("", "")));
    stage.end().await;
}

#[tokio::test]
async fn s5_3_search_in_batches_json() {
    search_in_batches(Stage::new(Format::Json).await).await;
}

#[tokio::test]
async fn s5_3_search_in_batches_xml() {
    search_in_batches(Stage::new(Format::Xml).await).await;
}

/// A client without a subscription asks for what is new since it last did, and for what is gone.
async fn simplified_synchronisation(mut stage: Stage) {
    stage.has_folder("f-root", "f-main", "main").await;
    stage.has_object("o-1", "/main", RECEIVED).await;
    let created = |cursor: &str| {
        selection(
            &format!(
                r#""maxEntries":9,"searchCriteria":{{"criterion":[{{"type":"CreatedObjects","value":"{cursor}"}}]}}"#
            ),
            &format!(
                "<maxEntries>9</maxEntries><searchCriteria><criterion><type>CreatedObjects</type>\
                 <value>{cursor}</value></criterion></searchCriteria>"
            ),
        )
    };
    let search = "{B}/objects/operations/search";
    let answer = stage.say(Method::POST, search, &created("")).await;
    let cursor = (r#","creationCursor":"cc-9""#, "<creationCursor>cc-9</creationCursor>");
    stage.is(&answer, 200, &object_list(&[found("o-1", 5001)], cursor));
    stage.has_object("o-2", "/main", RECEIVED).await;
    let answer = stage.say(Method::POST, search, &created("cc-9")).await;
    let cursor = (r#","creationCursor":"cc-10""#, "<creationCursor>cc-10</creationCursor>");
    stage.is(&answer, 200, &object_list(&[found("o-2", 5002)], cursor));

    stage.has_object("o-900", "/main", "").await;
    stage.is_bare(&stage.ask(Method::DELETE, "{B}/objects/o-900").await, 204);
    let vanished = selection(
        r#""maxEntries":9,"searchCriteria":{"criterion":[{"type":"VanishedObjects","value":""}]}"#,
        "<maxEntries>9</maxEntries><searchCriteria><criterion><type>VanishedObjects</type><value/></criterion>\
         </searchCriteria>",
    );
    let answer = stage.say(Method::POST, search, &vanished).await;
    let gone = twin(
        r#"{"objectReferenceList":{"objectReference":[{"resourceURL":"{B}/objects/o-900"}]}}"#,
        "<nms:objectReferenceList><objectReference><resourceURL>{B}/objects/o-900</resourceURL></objectReference>\
         </nms:objectReferenceList>",
    );
    stage.is(&answer, 200, &gone);
    stage.end().await;
}

#[tokio::test]
async fn s5_3_simplified_synchronisation_json() {
    simplified_synchronisation(Stage::new(Format::Json).await).await;
}

#[tokio::test]
async fn s5_3_simplified_synchronisation_xml() {
    simplified_synchronisation(Stage::new(Format::Xml).await).await;
}

async fn find_the_root_folder(mut stage: Stage) {
    stage.has_folder("f-root", "f-main", "main").await;
    stage.has_folder("f-main", "f-77", "trip").await;
    let search = selection(
        r#""maxEntries":5,"searchCriteria":{"criterion":[{"type":"Attribute","name":"Root","value":"Yes"}]}"#,
        "<maxEntries>5</maxEntries><searchCriteria><criterion><type>Attribute</type><name>Root</name><value>Yes</value>\
         </criterion></searchCriteria>",
    );
    let answer = stage.say(Method::POST, "{B}/folders/operations/search", &search).await;
    let root = twin(
        r#"{"folderList":{"folder":[{"attributes":{"attribute":[{"name":"Root","value":["Yes"]}]},
             "resourceURL":"{B}/folders/f-root","path":null,"lastModSeq":1,
             "subFolders":{"folderReference":[{"resourceURL":"{B}/folders/f-main","path":"/main"}]},
             "objects":{"objectReference":[]}}]}}"#,
        "<nms:folderList><folder>
           <attributes><attribute><name>Root</name><value>Yes</value></attribute></attributes>
           <resourceURL>{B}/folders/f-root</resourceURL><path/><lastModSeq>1</lastModSeq>
           <subFolders><folderReference><resourceURL>{B}/folders/f-main</resourceURL><path>/main</path>
             </folderReference></subFolders>
           <objects/></folder></nms:folderList>",
    );
    stage.is(&answer, 200, &root);
    stage.end().await;
}

#[tokio::test]
async fn s5_4_find_the_root_folder_json() {
    find_the_root_folder(Stage::new(Format::Json).await).await;
}

#[tokio::test]
async fn s5_4_find_the_root_folder_xml() {
    find_the_root_folder(Stage::new(Format::Xml).await).await;
}
