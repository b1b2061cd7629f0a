/*
 * meta.properties: whose a data directory is.  Java's Properties format, the part of it that Kafka
 * writes.  The master may read it before writers start (several directories share a cluster id).
 */
#ifndef TK_LOG_METAPROPS_H
#define TK_LOG_METAPROPS_H

#include "takhin/base.h"

#define TK_METAPROPS_TEXT_MAX 63

struct tk_metaprops {
	char cluster_id[TK_METAPROPS_TEXT_MAX + 1];
	int32_t node_id;
	struct tk_uuid directory_id; /* zero: none in the file */
};

/* -ENOENT without a file, -EBADMSG for one that lacks what must be there. */
int tk_metaprops_read(int dir_fd, struct tk_metaprops *ret_props) TK_MUST_CHECK;
int tk_metaprops_write(int dir_fd, const struct tk_metaprops *props) TK_MUST_CHECK;

#endif
