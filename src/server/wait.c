/*
 * Requests that wait, and the lists they wait in.  Runs in workers.  A wait is undone from either
 * side: the list wakes its request, or the request is done (or its connection gone) first.
 */
#include <stdlib.h>

#include "server/worker.h"

struct tk_wait {
	TAILQ_ENTRY(tk_wait) list_link;
	LIST_ENTRY(tk_wait) request_link;
	struct tk_wait_list *list;
	struct tk_request *req;
};

void
tk_wait_list_init(struct tk_wait_list *list)
{
	TAILQ_INIT(&list->waits);
}

bool
tk_wait_list_empty(const struct tk_wait_list *list)
{
	return TAILQ_EMPTY(&list->waits);
}

int
tk_wait_add(struct tk_wait_list *list, struct tk_request *req)
{
	struct tk_wait *wait = malloc(sizeof(*wait));

	if (wait == NULL)
		return -ENOMEM;
	wait->list = list;
	wait->req = req;
	TAILQ_INSERT_TAIL(&list->waits, wait, list_link);
	LIST_INSERT_HEAD(&req->waits, wait, request_link);
	return 0;
}

static void
wait_free(struct tk_wait *wait)
{
	TAILQ_REMOVE(&wait->list->waits, wait, list_link);
	LIST_REMOVE(wait, request_link);
	free(wait);
}

void
tk_wait_list_wake(struct tk_wait_list *list)
{
	struct tk_wait *wait;

	while ((wait = TAILQ_FIRST(&list->waits)) != NULL) {
		tk_request_wake(wait->req);
		wait_free(wait);
	}
}

void
tk_request_unwait(struct tk_request *req)
{
	struct tk_wait *wait;

	while ((wait = LIST_FIRST(&req->waits)) != NULL)
		wait_free(wait);
}
