/*
 * What handlers share.
 */
#ifndef TK_MODULES_HANDLERS_H
#define TK_MODULES_HANDLERS_H

#include "server/worker.h"
#include "wire/error_codes.h"
#include "wire/wire_gen.h"

/* A terminated string as the protocol's. */
struct tk_bytes tk_text(const char *text);

/* The same, null where the text is NULL. */
struct tk_bytes tk_text_or_null(const char *text);

/* Where clients of req's listener are told to connect. */
const struct tk_listener_settings *tk_advertised(const struct tk_request *req);

/* The rack of this broker: null where none is set. */
struct tk_bytes tk_rack(const struct tk_worker *worker);

/* A topic by id where that is not zero, else by name; NULL if there is none. */
const struct tk_meta_topic *tk_topic_of(
    const struct tk_worker *worker, const struct tk_bytes *name, const struct tk_uuid *id);

/* What a topic that is asked for by id but not there is answered with, or by name. */
int16_t tk_unknown_topic(const struct tk_uuid *id);

/* 0, or the error of a client that knows another leader epoch; -1 is not compared. */
int16_t tk_epoch_error(int32_t client_epoch, int32_t leader_epoch);

/* Tells the log that a partition could not be read, -errno why; clients may provoke any number. */
void tk_read_failed(const struct tk_part_key *key, int rc);

/* Client-given times in ms, kept within what timers take. */
int64_t tk_timeout_ms(int64_t asked_ms, int64_t least_ms);

#endif
