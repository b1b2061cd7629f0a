/*
 * Modules: what a worker's pipeline is made of.
 *
 *	decode		cuts the bytes of a connection into requests
 *	handler		answers them
 *	transmit	sends the replies
 *
 * A module is a struct; the table of those linked in is tk_modules.  `abi` tells whether a module
 * was built for this broker.
 */
#ifndef TAKHIN_MODULE_H
#define TAKHIN_MODULE_H

#include "takhin/request.h"

#define TK_MODULE_ABI 1u

struct tk_cycle;
struct tk_setting;

enum tk_module_kind { TK_MODULE_DECODE, TK_MODULE_HANDLER, TK_MODULE_TRANSMIT };

/* What lies at the front of the bytes received. */
struct tk_decode {
	/*
	 * The size of the frame that begins at data, its length prefix included, and the API it is
	 * for (-1 while too little of it is there).  OK; AGAIN: fewer than the bytes that tell;
	 * ERROR: no frame can begin like this.
	 */
	enum tk_io (*peek)(const struct tk_worker *worker, const uint8_t *data, size_t len,
	    size_t *ret_frame_bytes, int *ret_api_key);
	/* Parses a whole frame's header into req and finds its api; ERROR: the connection closes.
	 */
	enum tk_io (*parse)(struct tk_request *req, const uint8_t *data, size_t len);
};

struct tk_handler {
	const struct tk_api *apis;
	size_t api_count;
};

/* What transmit needs of a connection. */
struct tk_transmit {
	/*
	 * Sends from the front of chain, at most budget bytes, moving its pieces on.  DONE: all of
	 * it left; OK: the budget did; AGAIN: the socket is full; ERROR: the connection is broken,
	 * or a range could not be sent as promised.
	 */
	enum tk_io (*send)(struct tk_worker *worker, int fd, struct tk_chain *chain, size_t budget);
};

struct tk_module {
	unsigned abi;
	const char *name;
	enum tk_module_kind kind;
	const struct tk_setting *settings;
	size_t setting_count;
	int (*init_master)(struct tk_cycle *cycle); /* hooks may be NULL; 0 or -errno */
	int (*init_worker)(struct tk_worker *worker);
	void (*exit_worker)(struct tk_worker *worker);
	union {
		const struct tk_decode *decode;
		const struct tk_handler *handler;
		const struct tk_transmit *transmit;
	};
};

/* All that are linked in, NULL at the end. */
extern const struct tk_module *const tk_modules[];

#endif
