//! Boxes and what is in them (spec/nms 3).

use utoipa::ToSchema;

use super::document;
use super::search::SelectionCriteria;

/// An attribute with all its values.
#[derive(ToSchema)]
pub struct Attribute {
    /// Its name.
    #[schema(min_length = 1)]
    name: String,
    /// Its values.
    value: Vec<String>,
}

/// Attributes.
#[derive(ToSchema)]
pub struct AttributeList {
    /// The attributes.
    attribute: Vec<Attribute>,
}

/// Flags.
#[derive(ToSchema)]
pub struct FlagList {
    /// The flags, as `\Seen`.
    flag: Vec<String>,
    /// Where they are.
    #[schema(rename = "resourceURL", read_only)]
    resource_url: String,
}

document! {
    /// The flags of an object.
    #[schema(example = json!({ "flagList": { "flag": ["\\Seen"] } }))]
    FlagListDocument, "flagList": FlagList
}

/// A part of a payload (3.5).
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct PayloadPartInfo {
    /// Its type.
    content_type: String,
    /// Its Content-ID.
    #[schema(nullable = false)]
    content_id: Option<String>,
    /// Its Content-Location.
    #[schema(nullable = false)]
    content_location: Option<String>,
    /// Bytes.
    size: i64,
    /// Where it is.
    href: String,
    /// Its Content-Disposition.
    #[schema(nullable = false)]
    content_disposition: Option<String>,
}

/// An object (3.1).
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Object {
    /// URL of the folder that it is in, or shall be in.
    #[schema(nullable = false)]
    parent_folder: Option<String>,
    /// Path of the folder that it shall be in; made if it is not there. Without either, the root folder.
    #[schema(write_only, nullable = false)]
    parent_folder_path: Option<String>,
    /// Attributes.
    #[schema(nullable = false)]
    attributes: Option<AttributeList>,
    /// Flags.
    #[schema(nullable = false)]
    flags: Option<FlagList>,
    /// Itself.
    #[schema(rename = "resourceURL", read_only)]
    resource_url: String,
    /// Its path.
    #[schema(read_only)]
    path: String,
    /// Its payload.
    #[schema(rename = "payloadURL", read_only, nullable = false)]
    payload_url: Option<String>,
    /// The parts of its payload.
    #[schema(read_only, nullable = false)]
    payload_part: Option<Vec<PayloadPartInfo>>,
    /// Number of its last change in the box.
    #[schema(read_only)]
    last_mod_seq: i64,
    /// The writer's name for it.
    #[schema(nullable = false)]
    correlation_id: Option<String>,
    /// The same.
    #[schema(nullable = false)]
    correlation_tag: Option<String>,
}

document! {
    /// An object.
    #[schema(example = json!({ "object": {
        "attributes": { "attribute": [{ "name": "TextContent", "value": ["Lunch?"] }] },
        "flags": { "flag": ["\\Flagged"] }, "correlationId": "m-1" } }))]
    ObjectDocument, "object": Object
}

/// Objects.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ObjectList {
    /// The objects.
    object: Vec<Object>,
    /// Where to go on.
    #[schema(read_only, nullable = false)]
    cursor: Option<String>,
    /// What was created after this answer is found with it.
    #[schema(read_only, nullable = false)]
    creation_cursor: Option<String>,
}

document! {
    /// Objects.
    #[schema(example = json!({ "objectList": { "object": [{ "correlationId": "m-1" }, { "correlationId": "m-2" }] } }))]
    ObjectListDocument, "objectList": ObjectList
}

/// References to objects.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ObjectReferenceList {
    /// The references.
    object_reference: Vec<Reference>,
    /// Where to go on.
    #[schema(read_only, nullable = false)]
    cursor: Option<String>,
}

/// What a search has found: objects, or references to those that have vanished.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct FoundObjects {
    /// Objects.
    #[schema(nullable = false)]
    object_list: Option<ObjectList>,
    /// References to vanished ones.
    #[schema(nullable = false)]
    object_reference_list: Option<ObjectReferenceList>,
}

/// A form that creates objects (2.4): the root fields first.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub struct ObjectForm {
    /// An object, or an objectList.
    root_fields: String,
    /// The payloads.
    #[schema(nullable = false, format = Binary, content_media_type = "application/octet-stream")]
    attachments: Option<String>,
}

/// Where an object or a folder is (3.7).
#[derive(ToSchema)]
pub struct Reference {
    /// Its URL.
    #[schema(rename = "resourceURL", min_length = 1)]
    resource_url: String,
    /// Its path; null is the root folder.
    #[schema(read_only)]
    path: Option<String>,
}

document! {
    /// Where an object or a folder is.
    ReferenceDocument, "reference": Reference
}

/// Folders by reference.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct FolderReferenceList {
    /// The references.
    #[schema(nullable = false)]
    folder_reference: Option<Vec<Reference>>,
}

/// Objects by reference.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ObjectReferences {
    /// The references.
    #[schema(nullable = false)]
    object_reference: Option<Vec<Reference>>,
}

/// A folder (3.6).
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct Folder {
    /// URL of the folder that it is in.
    #[schema(nullable = false)]
    parent_folder: Option<String>,
    /// Path of the folder that it shall be in; instead.
    #[schema(write_only, nullable = false)]
    parent_folder_path: Option<String>,
    /// Attributes; those that are counted only if asked for.
    #[schema(nullable = false)]
    attributes: Option<AttributeList>,
    /// Itself.
    #[schema(rename = "resourceURL", read_only)]
    resource_url: String,
    /// Its path, if asked for; null is the root folder.
    #[schema(read_only)]
    path: Option<String>,
    /// Its name. The root folder has none.
    #[schema(nullable = false)]
    name: Option<String>,
    /// Number of its last change in the box.
    #[schema(read_only)]
    last_mod_seq: i64,
    /// Where to go on.
    #[schema(read_only, nullable = false)]
    cursor: Option<String>,
    /// Folders in it.
    #[schema(read_only, nullable = false)]
    sub_folders: Option<FolderReferenceList>,
    /// Objects in it.
    #[schema(read_only, nullable = false)]
    objects: Option<ObjectReferences>,
}

document! {
    /// A folder.
    #[schema(example = json!({ "folder": { "parentFolderPath": "/", "name": "Archive" } }))]
    FolderDocument, "folder": Folder
}

/// Folders.
#[derive(ToSchema)]
pub struct FolderList {
    /// The folders.
    folder: Vec<Folder>,
    /// Where to go on.
    #[schema(nullable = false)]
    cursor: Option<String>,
}

document! {
    /// Folders.
    FolderListDocument, "folderList": FolderList
}

document! {
    /// The name of a folder; null is that of the root folder.
    #[schema(example = json!({ "name": "Archive" }))]
    FolderNameDocument, "name": Option<String>
}

/// Paths.
#[derive(ToSchema)]
pub struct PathList {
    /// The paths.
    #[schema(min_items = 1)]
    path: Vec<String>,
}

document! {
    /// Paths.
    #[schema(example = json!({ "pathList": { "path": ["/Archive/7", "/8"] } }))]
    PathListDocument, "pathList": PathList
}

/// What is copied or moved.
#[derive(ToSchema)]
pub struct SourceRefs {
    /// Folders.
    folders: FolderReferenceList,
    /// Objects.
    objects: ObjectReferences,
}

/// What is copied or moved, and where to.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct TargetSourceRef {
    /// The folder.
    target_ref: Reference,
    /// The items.
    source_refs: SourceRefs,
}

document! {
    /// What is copied or moved, and where to.
    #[schema(example = json!({ "targetSourceRef": {
        "targetRef": { "resourceURL": "http://127.0.0.1:8080/nms/v1/default/alice/folders/3" },
        "sourceRefs": {
            "folders": { "folderReference": [] },
            "objects": { "objectReference": [
                { "resourceURL": "http://127.0.0.1:8080/nms/v1/default/alice/objects/7" }] } } } }))]
    TargetSourceRefDocument, "targetSourceRef": TargetSourceRef
}

/// What is done with flags.
#[derive(ToSchema)]
pub enum FlagOperation {
    /// They are set.
    AddFlag,
    /// They are removed.
    RemoveFlag,
}

/// Flags of many objects: those referenced, or those that a search finds.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct BulkUpdate {
    /// Which objects.
    #[schema(nullable = false)]
    objects: Option<ObjectReferences>,
    /// Or which ones a search finds.
    #[schema(nullable = false)]
    selection_criteria: Option<SelectionCriteria>,
    /// Which flags.
    flags: FlagList,
    /// Set or removed.
    operation: FlagOperation,
}

document! {
    /// Flags of many objects.
    #[schema(example = json!({ "bulkUpdate": {
        "objects": { "objectReference": [
            { "resourceURL": "http://127.0.0.1:8080/nms/v1/default/alice/objects/7" }] },
        "flags": { "flag": ["\\Seen"] }, "operation": "AddFlag" } }))]
    BulkUpdateDocument, "bulkUpdate": BulkUpdate
}

/// Objects to be deleted: those referenced, or those that a search finds.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct BulkDelete {
    /// Which objects.
    #[schema(nullable = false)]
    objects: Option<ObjectReferences>,
    /// Or which ones a search finds.
    #[schema(nullable = false)]
    selection_criteria: Option<SelectionCriteria>,
}

document! {
    /// Objects to be deleted.
    #[schema(example = json!({ "bulkDelete": { "objects": { "objectReference": [
        { "resourceURL": "http://127.0.0.1:8080/nms/v1/default/alice/objects/7" }] } } }))]
    BulkDeleteDocument, "bulkDelete": BulkDelete
}

/// What became of one item (3.12).
#[derive(ToSchema)]
pub struct BulkResponse {
    /// Its status.
    code: u16,
    /// What that is called.
    reason: String,
    /// It went well.
    #[schema(nullable = false)]
    success: Option<Reference>,
    /// It did not.
    #[schema(nullable = false)]
    failure: Option<super::common::RequestError>,
}

/// What became of each item, in the order of the request.
#[derive(ToSchema)]
pub struct BulkResponseList {
    /// The outcomes.
    response: Vec<BulkResponse>,
}

document! {
    /// What became of each item.
    BulkResponseListDocument, "bulkResponseList": BulkResponseList
}

/// Where notifications go.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct CallbackReference {
    /// The callbackURL of a channel, or a URL of the client.
    #[schema(rename = "notifyURL", format = "uri")]
    notify_url: String,
    /// The client's own.
    #[schema(nullable = false)]
    callback_data: Option<String>,
    /// JSON or XML.
    #[schema(nullable = false)]
    notification_format: Option<String>,
}

/// A subscription (3.10).
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct NmsSubscription {
    /// Where to.
    callback_reference: CallbackReference,
    /// In seconds.
    #[schema(nullable = false)]
    duration: Option<u32>,
    /// What is wanted; everything without it.
    #[schema(nullable = false)]
    filter: Option<super::search::SearchCriteria>,
    /// An extension: events carry the attributes of their objects.
    #[schema(rename = "x-attributes", nullable = false)]
    attributes: Option<bool>,
    /// The client's name for it: the same request again is answered with the same subscription.
    #[schema(nullable = false)]
    client_correlator: Option<String>,
    /// Itself.
    #[schema(rename = "resourceURL", read_only)]
    resource_url: String,
    /// Of the next list.
    #[schema(read_only)]
    index: i64,
    /// Where to begin, or where it is.
    #[schema(nullable = false)]
    restart_token: Option<String>,
}

document! {
    /// A subscription.
    #[schema(example = json!({ "nmsSubscription": {
        "callbackReference": { "notifyURL": "http://127.0.0.1:8080/callback/abc" }, "duration": 86400,
        "filter": { "criterion": [{ "type": "Attribute", "name": "From", "value": "bob" }], "operator": "And" } } }))]
    NmsSubscriptionDocument, "nmsSubscription": NmsSubscription
}

/// The subscriptions of a box: those of the caller.
#[derive(ToSchema)]
pub struct NmsSubscriptionList {
    /// The subscriptions.
    subscription: Vec<NmsSubscription>,
    /// Itself.
    #[schema(rename = "resourceURL")]
    resource_url: String,
}

document! {
    /// The subscriptions of a box.
    NmsSubscriptionListDocument, "nmsSubscriptionList": NmsSubscriptionList
}

/// A change of a subscription.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct NmsSubscriptionUpdate {
    /// From now, in seconds; 0 leaves it to the server.
    #[schema(nullable = false)]
    duration: Option<u32>,
    /// Start again from here.
    #[schema(nullable = false)]
    restart_token: Option<String>,
}

document! {
    /// A change of a subscription.
    #[schema(example = json!({ "nmsSubscriptionUpdate": { "duration": 86400 } }))]
    NmsSubscriptionUpdateDocument, "nmsSubscriptionUpdate": NmsSubscriptionUpdate
}

/// An item that an event tells of.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct ChangedItem {
    /// URL of the folder that it is in.
    #[schema(nullable = false)]
    parent_folder: Option<String>,
    /// Flags of an object.
    #[schema(nullable = false)]
    flags: Option<FlagList>,
    /// Itself.
    #[schema(rename = "resourceURL")]
    resource_url: String,
    /// The name of a folder.
    #[schema(nullable = false)]
    name: Option<String>,
    /// Number of the event in the box.
    last_mod_seq: i64,
    /// The writer's name for it.
    #[schema(nullable = false)]
    correlation_id: Option<String>,
    /// The same.
    #[schema(nullable = false)]
    correlation_tag: Option<String>,
    /// Attributes, if the subscription asks for them.
    #[schema(nullable = false)]
    attributes: Option<AttributeList>,
}

/// An event (3.11): one of these.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct NmsEvent {
    /// Created or changed.
    #[schema(nullable = false)]
    changed_object: Option<ChangedItem>,
    /// Deleted.
    #[schema(nullable = false)]
    deleted_object: Option<ChangedItem>,
    /// Expired.
    #[schema(nullable = false)]
    expired_object: Option<ChangedItem>,
    /// Created or changed.
    #[schema(nullable = false)]
    changed_folder: Option<ChangedItem>,
    /// Deleted.
    #[schema(nullable = false)]
    deleted_folder: Option<ChangedItem>,
    /// Expired.
    #[schema(nullable = false)]
    expired_folder: Option<ChangedItem>,
    /// What came meanwhile is not told: read the box anew.
    reset_box: Option<String>,
}

/// Events of a box.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub struct NmsEventList {
    /// The events.
    nms_event: Vec<NmsEvent>,
    /// The client's own, of the subscription.
    #[schema(nullable = false)]
    callback_data: Option<String>,
    /// The subscription.
    #[schema(nullable = false)]
    link: Option<Vec<super::common::Link>>,
    /// Where to go on after it.
    restart_token: String,
    /// Its number, counted by the subscription.
    index: i64,
}

/// What became of an event on its way to a subscription: an extension.
#[derive(ToSchema)]
pub struct Explanation {
    /// In one word, as `delivered` or `never`.
    verdict: String,
    /// In a sentence.
    why: String,
    /// The index of its list, once it has one.
    index: Option<i64>,
    /// What else is known, by name.
    #[schema(value_type = Object)]
    facts: serde_json::Value,
}
