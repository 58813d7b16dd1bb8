//! Push notification configs as A2A 0.3 has them, in the shape of 1.0 and back.
//! Must not ask the region anything, nor know which webhooks there may be.

use ::a2a::methods;
use serde_json::{Value, json};

use super::fault::Fault;

/// Returns the method of 1.0 that does the same; nothing for what is not about webhooks.
pub(super) fn method(name: &str) -> Option<&'static str> {
    Some(match name.strip_prefix("tasks/pushNotificationConfig/")? {
        "set" => methods::CREATE_PUSH_CONFIG,
        "get" => methods::GET_PUSH_CONFIG,
        "list" => methods::LIST_PUSH_CONFIGS,
        "delete" => methods::DELETE_PUSH_CONFIG,
        _ => return None,
    })
}

/// Returns the parameters of a method that is about webhooks as 1.0 has them.
pub(super) fn params(method: &str, mut given: Value) -> Result<Value, Fault> {
    let Some(fields) = given.as_object_mut() else { return Ok(given) };
    if method == methods::CREATE_PUSH_CONFIG {
        let Some(config @ Value::Object(_)) = fields.remove("pushNotificationConfig") else {
            let help = "say where the webhook is: give an object with its `url`";
            return Err(Fault::field("pushNotificationConfig", help));
        };
        let mut config = config_from(config, "pushNotificationConfig.")?;
        for key in ["taskId", "tenant"] {
            if let Some(value) = fields.remove(key) {
                config[key] = value;
            }
        }
        return Ok(config);
    }
    let task = fields.remove("id").ok_or_else(|| Fault::field("id", "name the task"))?;
    let config = fields.remove("pushNotificationConfigId").filter(|it| !it.is_null());
    if method == methods::DELETE_PUSH_CONFIG && config.is_none() {
        return Err(Fault::field("pushNotificationConfigId", "name the webhook"));
    }
    fields.insert("taskId".to_owned(), task);
    // Who names none means any.
    fields.insert("id".to_owned(), config.unwrap_or_else(|| json!("")));
    Ok(given)
}

/// Returns a webhook as 1.0 has it; `at` is the way to it among the parameters. Of several schemes
/// the first one is used.
pub(super) fn config_from(mut config: Value, at: &str) -> Result<Value, Fault> {
    if let Some(Value::Object(authentication)) = config.get_mut("authentication") {
        let first = match authentication.remove("schemes") {
            Some(Value::Array(schemes)) if schemes.iter().all(Value::is_string) => {
                schemes.into_iter().next()
            }
            None | Some(Value::Null) => None,
            Some(_) => {
                let field = format!("{at}authentication.schemes");
                return Err(Fault::field(&field, "use a list of texts, such as [\"Bearer\"]"));
            }
        };
        authentication.insert("scheme".to_owned(), first.unwrap_or_else(|| json!("")));
    }
    Ok(config)
}

/// Returns a webhook of 1.0 as 0.3 has it.
pub(super) fn config_to(config: Value) -> Value {
    let Value::Object(mut config) = config else { return config };
    let task = config.remove("taskId").unwrap_or_default();
    if let Some(Value::Object(authentication)) = config.get_mut("authentication") {
        let scheme = authentication.remove("scheme").unwrap_or_default();
        authentication.insert("schemes".to_owned(), json!([scheme]));
    }
    json!({ "taskId": task, "pushNotificationConfig": config })
}

/// Returns a list of webhooks of 1.0 as 0.3 has it.
pub(super) fn configs_to(mut list: Value) -> Value {
    match list.get_mut("configs").map(Value::take) {
        Some(Value::Array(configs)) => configs.into_iter().map(config_to).collect(),
        Some(_) | None => json!([]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_of_0_3_has_another_shape() {
        let old = json!({ "taskId": "t", "pushNotificationConfig": {
            "id": "w", "url": "https://x.test", "token": "s",
            "authentication": { "schemes": ["Bearer"], "credentials": "c" },
        } });
        let new = json!({
            "taskId": "t", "id": "w", "url": "https://x.test", "token": "s",
            "authentication": { "scheme": "Bearer", "credentials": "c" },
        });
        assert_eq!(params(methods::CREATE_PUSH_CONFIG, old.clone()).unwrap(), new);
        assert_eq!(config_to(new.clone()), old);
        assert_eq!(configs_to(json!({ "configs": [new] })), json!([old]));
        assert_eq!(configs_to(json!({})), json!([]));
    }

    #[test]
    fn of_several_schemes_the_first_is_used_and_none_is_empty() {
        let scheme = |schemes: Value| {
            let config = json!({ "authentication": { "schemes": schemes } });
            config_from(config, "").map(|it| it["authentication"]["scheme"].clone())
        };
        assert_eq!(scheme(json!(["Basic", "Bearer"])).unwrap(), "Basic");
        assert_eq!(scheme(json!([])).unwrap(), "");
        assert_eq!(scheme(Value::Null).unwrap(), "");
        for wrong in [json!("Basic"), json!([1])] {
            assert!(scheme(wrong).unwrap_err().message().contains("authentication.schemes"));
        }
    }

    #[test]
    fn a_webhook_is_named_beside_its_task() {
        let given = json!({ "id": "t", "pushNotificationConfigId": "w" });
        let named = params(methods::GET_PUSH_CONFIG, given).unwrap();
        assert_eq!(named, json!({ "taskId": "t", "id": "w" }));
        let any = params(methods::GET_PUSH_CONFIG, json!({ "id": "t" })).unwrap();
        assert_eq!(any, json!({ "taskId": "t", "id": "" }));
        assert!(params(methods::LIST_PUSH_CONFIGS, json!({})).is_err());
        let any = params(methods::DELETE_PUSH_CONFIG, json!({ "id": "t" })).unwrap_err();
        assert!(any.message().contains("pushNotificationConfigId"), "{any:?}");
    }
}
