/*
 * What handlers share.  Runs in workers.
 */
#include "handlers.h"

#include <string.h>

#include "base/errlog.h"
#include "base/uuid.h"

#define TIMEOUT_MAX_MS ((int64_t)10 * 60 * 1000)

struct tk_bytes
tk_text(const char *text)
{
	return (struct tk_bytes){ (const uint8_t *)text, (uint32_t)strlen(text) };
}

struct tk_bytes
tk_text_or_null(const char *text)
{
	return text == NULL ? (struct tk_bytes){ NULL, 0 } : tk_text(text);
}

const struct tk_listener_settings *
tk_advertised(const struct tk_request *req)
{
	return &req->worker->settings->listeners.items[tk_conn_listener(req->conn)];
}

struct tk_bytes
tk_rack(const struct tk_worker *worker)
{
	const char *rack = worker->settings->rack;

	return tk_text_or_null(rack == NULL || rack[0] == '\0' ? NULL : rack);
}

const struct tk_meta_topic *
tk_topic_of(const struct tk_worker *worker, const struct tk_bytes *name, const struct tk_uuid *id)
{
	if (!tk_uuid_is_zero(id))
		return tk_meta_topic_find_id(worker->meta, id);
	if (name->data == NULL)
		return NULL;
	return tk_meta_topic_find(worker->meta, name->data, name->len);
}

int16_t
tk_unknown_topic(const struct tk_uuid *id)
{
	return tk_uuid_is_zero(id) ? TK_ERR_UNKNOWN_TOPIC_OR_PARTITION : TK_ERR_UNKNOWN_TOPIC_ID;
}

int16_t
tk_epoch_error(int32_t client_epoch, int32_t leader_epoch)
{
	if (client_epoch == -1 || client_epoch == leader_epoch)
		return TK_ERR_NONE;
	return client_epoch < leader_epoch ? TK_ERR_FENCED_LEADER_EPOCH
					   : TK_ERR_UNKNOWN_LEADER_EPOCH;
}

int64_t
tk_timeout_ms(int64_t asked_ms, int64_t least_ms)
{
	return TK_MIN(TK_MAX(asked_ms, least_ms), TIMEOUT_MAX_MS);
}

void
tk_read_failed(const struct tk_part_key *key, int rc)
{
	static struct tk_errlog_limit limit;

	if (tk_errlog_allowed(&limit, 5))
		tk_err("could not read \"%.*s-%d\": %s", (int)key->topic_len, key->topic,
		    (int)key->partition, strerror(-rc));
}
