/*
 * What every file of Takhin may use: results, assertions and small helpers.
 *
 * Three kinds of result are kept apart: libraries return 0 or a negative errno; code on the event
 * path returns enum tk_io; Kafka's error codes appear in handlers only.  Outputs are parameters
 * named ret_x, last, written only on success.
 */
#ifndef TAKHIN_BASE_H
#define TAKHIN_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a step on the event path came to. */
enum tk_io {
	TK_IO_OK,       /* progress was made and more may be possible */
	TK_IO_AGAIN,    /* nothing to do until the descriptor or a wake-up says so */
	TK_IO_DONE,     /* the whole of it is finished */
	TK_IO_DECLINED, /* not mine: somebody else may try */
	TK_IO_EOF,      /* the peer is gone, in good order */
	TK_IO_ERROR     /* the connection cannot go on */
};

#define TK_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#define TK_NORETURN          __attribute__((noreturn))
#define TK_UNUSED            __attribute__((unused))
#define TK_MUST_CHECK        __attribute__((warn_unused_result))

#define TK_MIN(a, b)        ((a) < (b) ? (a) : (b))
#define TK_MAX(a, b)        ((a) > (b) ? (a) : (b))
#define TK_COUNT_OF(array)  (sizeof(array) / sizeof((array)[0]))
#define TK_ALIGN_UP(n, pow) (((n) + ((pow)-1)) & ~((pow)-1))
#define TK_CONTAINER_OF(pointer, type, member)                                                     \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/*
 * A slice of bytes that somebody else owns.  data == NULL means null where Kafka tells null from
 * empty.  Strings of the protocol are slices as well: they are not terminated.
 */
struct tk_bytes {
	const uint8_t *data;
	uint32_t len;
};

/* 16 bytes, all zero for "none", as Kafka's uuids. */
struct tk_uuid {
	uint8_t b[16];
};

/*
 * Assertions hold our own bugs and stay in release builds.  A failed one leaves its text in the
 * page of the process (tk_panic_page, if set), writes it to stderr and aborts.
 */
#define tk_assert(cond) ((cond) ? (void)0 : tk_panic(__FILE__, __LINE__, #cond))

void tk_panic(const char *file, int line, const char *expr) TK_NORETURN;

/* Where a panic leaves its text for the master to read; shared memory of the process, or NULL. */
extern char *tk_panic_page;
extern size_t tk_panic_page_size;

#endif
