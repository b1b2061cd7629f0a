/*
 * The frames that processes send each other through channels.
 *
 * A frame is a header and a payload.  The payload begins with the struct of its type below; what
 * follows it (names, lists, bodies) has its length in the struct.  Host byte order: both ends are
 * one machine and one build (or its neighbour: the hello carries the version).  A receiver checks
 * every length and every number; a frame it cannot take ends the channel.
 *
 *	worker -> writer        HELLO, APPEND, WATCH, SEGMENTS, RETAIN
 *	writer -> worker        APPENDED, NOTIFY, SEGMENTS_ARE, RETAINED
 *	worker -> coordinator   HELLO, FORWARD
 *	coordinator -> worker   FORWARDED
 *	coordinator -> writer   HELLO, APPEND, APPLY
 *	writer -> coordinator   APPENDED, APPLIED
 *	cleaner -> writer       HELLO, RETAIN, SEGMENTS, CLEAN_POINT, CLEANED
 *	writer -> cleaner       RETAINED, SEGMENTS_ARE, CLEAN_POINT_IS, SWAPPED
 *
 * An answer carries the id of what it answers.  Who never answers is noticed by its channel's end.
 */
#ifndef TK_SERVER_FRAMES_H
#define TK_SERVER_FRAMES_H

#include "takhin/base.h"

#define TK_FRAMES_VERSION 2u
#define TK_FRAME_MAX      ((uint32_t)4 << 20) /* bytes of a payload */

enum tk_frame_type {
	TK_FRAME_HELLO = 1,
	TK_FRAME_APPEND,
	TK_FRAME_APPENDED,
	TK_FRAME_WATCH,
	TK_FRAME_NOTIFY,
	TK_FRAME_SEGMENTS,
	TK_FRAME_SEGMENTS_ARE,
	TK_FRAME_FORWARD,
	TK_FRAME_FORWARDED,
	TK_FRAME_APPLY,
	TK_FRAME_APPLIED,
	TK_FRAME_RETAIN,
	TK_FRAME_RETAINED,
	TK_FRAME_CLEAN_POINT,
	TK_FRAME_CLEAN_POINT_IS,
	TK_FRAME_CLEANED,
	TK_FRAME_SWAPPED
};

struct tk_frame {
	uint32_t len; /* bytes of payload */
	uint16_t type;
	uint16_t unused;
	uint64_t id; /* the sender's; an answer repeats it */
};

struct tk_frame_hello {
	uint32_t version;
	uint32_t unused;
};

/* Append one batch, which lies in the sender's arena. */
struct tk_frame_append {
	uint64_t incarnation;
	uint64_t config_revision; /* tk_meta_stamp() under which the batch was validated */
	uint64_t arena_offset;
	uint32_t len;
	uint32_t slot;
	int32_t leader_epoch;  /* -1: any */
	uint32_t flags;        /* TK_APPEND_ */
	int64_t deadline_ms;   /* of CLOCK_MONOTONIC; refused once it has passed; 0: none */
	int64_t max_timestamp; /* with TK_APPEND_MAX_TIMESTAMP: the records', at least -1 */
};
#define TK_APPEND_SYNC          0x1u /* answer when it is on the disk (metadata) */
#define TK_APPEND_MAX_TIMESTAMP 0x2u /* the records were walked: the header is mended */

struct tk_frame_appended {
	int64_t base_offset;
	int64_t log_append_time_ms;
	int64_t log_start;
	int32_t error; /* Kafka's code, or TK_APPENDED_STALE */
	uint32_t unused;
};
#define TK_APPENDED_STALE (-2) /* the topic's settings changed: validate and send again */

/*
 * Tell me once slot's record is not the one of seq any more and its high watermark has reached
 * (segment, position) or left segment; at once if its state, epoch, log start or incarnation
 * differs.  One watch a sender and slot; a new one replaces it.
 */
struct tk_frame_watch {
	uint64_t incarnation;
	uint64_t seq;
	int64_t segment;
	int64_t position;
	uint32_t slot;
	uint32_t unused;
};

struct tk_frame_notify {
	uint64_t incarnation;
	uint32_t slot;
	uint32_t unused;
};

struct tk_frame_segments {
	uint64_t incarnation;
	uint32_t slot;
	uint32_t unused;
};

/* Followed by count struct tk_segment_info. */
struct tk_frame_segments_are {
	uint64_t incarnation;
	uint64_t generation;
	uint32_t slot;
	int32_t error; /* 0, or -errno: -ENOENT no such incarnation */
	uint32_t count;
	uint32_t unused;
};

/* A request of a client, for the coordinator; followed by client_id_len + host_len + body_len. */
struct tk_frame_forward {
	int64_t deadline_ms;
	int16_t api_key;
	int16_t api_version;
	uint16_t client_id_len;
	uint16_t host_len; /* text of the client's address */
	uint32_t body_len;
	uint32_t listener; /* index of the listener it came by */
};

/* Followed by body_len bytes: the response's body (no header). */
struct tk_frame_forwarded {
	int32_t status; /* 0, or -errno where there is no body: the connection closes */
	uint32_t body_len;
};

/* Catch up with the metadata journal to revision, create, change and delete what it says. */
struct tk_frame_apply {
	uint64_t revision;
};

struct tk_frame_applied {
	uint64_t revision; /* up to which this writer has applied */
	int32_t error;     /* 0, or -errno of the first partition that could not be made */
	uint32_t unused;
};

/*
 * The log begins at log_start now: delete whole segments that end at or below it.  A worker is
 * answered when the checkpoint of log starts is on the disk.
 */
struct tk_frame_retain {
	uint64_t incarnation;
	int64_t log_start;
	uint32_t slot;
	uint32_t unused;
};

struct tk_frame_retained {
	int64_t log_start; /* as it is now */
	int32_t error;     /* 0 or -errno; -EINVAL: beyond the high watermark */
	uint32_t unused;
};

/* How far compaction of a partition has come: asks, or says. */
struct tk_frame_clean_point {
	uint64_t incarnation;
	int64_t offset; /* -1: asks */
	uint32_t slot;
	uint32_t unused;
};

struct tk_frame_clean_point_is {
	int64_t offset; /* -1: it never was compacted */
	int32_t error;  /* 0 or -errno */
	uint32_t unused;
};

/* A cleaned segment is ready: put it in the place of count segments, the first at its own base. */
struct tk_frame_cleaned {
	uint64_t incarnation;
	uint64_t job; /* in the names of its files */
	uint32_t slot;
	uint32_t count;
	struct {
		int64_t base_offset;
		uint64_t log_inode;
	} sources[64];
};

struct tk_frame_swapped {
	int32_t error; /* 0; -ESTALE: the segments are not these any more; -errno */
	uint32_t unused;
};

_Static_assert(sizeof(struct tk_frame_cleaned) == 24 + 64 * 16, "goes through a channel");
_Static_assert(sizeof(struct tk_frame) == 16, "goes through a channel");
_Static_assert(sizeof(struct tk_frame_append) == 56, "goes through a channel");
_Static_assert(sizeof(struct tk_frame_appended) == 32, "goes through a channel");
_Static_assert(sizeof(struct tk_frame_watch) == 40, "goes through a channel");
_Static_assert(sizeof(struct tk_frame_forward) == 24, "goes through a channel");

/* Names of the sockets in the run directory. */
#define TK_CHANNEL_COORDINATOR "coordinator.sock"
#define TK_CHANNEL_WRITER_FMT  "writer.%u.sock" /* index of the data directory */
#define TK_ZONE_FMT            "zone.%u"

#endif
