/*
 * Partitions of a reader and their segment lists.  Worker, one thread.  What bounds it: as many
 * partitions as there are slots, each with the list its writer told.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log/reader_private.h"

static bool
part_equal(const struct tk_map_node *node, const void *key, size_t len)
{
	const struct part *part = TK_CONTAINER_OF(node, const struct part, node);

	return len == sizeof(part->place) && memcmp(&part->place, key, len) == 0;
}

static struct part *
part_lookup(const struct tk_reader *reader, const struct tk_part_key *key)
{
	struct part_place place = { key->directory, key->slot };
	struct tk_map_node *node = tk_map_find(&reader->parts, &place, sizeof(place), part_equal);

	return node == NULL ? NULL : TK_CONTAINER_OF(node, struct part, node);
}

void
part_free(struct tk_reader *reader, struct part *part)
{
	for (size_t i = 0; i < part->count; i++)
		if (part->segments[i].open != NULL)
			segment_push_out(reader, part->segments[i].open);
	tk_map_remove(&reader->parts, &part->node);
	free(part->segments);
	free(part);
}

/* Kafka's rule for topic names; what is opened is made of it. */
static bool
topic_sound(const char *topic, size_t len)
{
	if (len == 0 || len > READER_TOPIC_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = topic[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			c == '.' || c == '_' || c == '-'))
			return false;
	}
	return !(len <= 2 && topic[0] == '.' && topic[len - 1] == '.');
}

static bool
list_sound(const struct tk_segment_info *segments, size_t count)
{
	if (count == 0 || segments[0].base_offset < 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (segments[i].size_bytes < 0 || segments[i].log_inode == 0)
			return false;
		if (i > 0 && segments[i].base_offset <= segments[i - 1].base_offset)
			return false;
	}
	return true;
}

/* The partition of key, anew if there is none or another incarnation's; NULL without memory. */
static struct part *
part_make(struct tk_reader *reader, const struct tk_part_key *key)
{
	struct part *part = part_lookup(reader, key);

	if (part != NULL && part->incarnation == key->incarnation)
		return part;
	if (part != NULL)
		part_free(reader, part);
	part = calloc(1, sizeof(*part));
	if (part == NULL)
		return NULL;
	part->place = (struct part_place){ key->directory, key->slot };
	part->incarnation = key->incarnation;
	(void)snprintf(part->name, sizeof(part->name), "%.*s-%" PRId32, (int)key->topic_len,
	    key->topic, key->partition);
	tk_map_put(&reader->parts, &part->node, &part->place, sizeof(part->place));
	return part;
}

/* Moves open segments over to the new list; pushes out those it does not name. */
static void
open_carry(struct tk_reader *reader, struct part *part, struct part_segment *to, size_t count)
{
	size_t j = 0;

	for (size_t i = 0; i < part->count; i++) {
		struct open_segment *seg = part->segments[i].open;

		if (seg == NULL)
			continue;
		while (j < count && to[j].info.base_offset < seg->base_offset)
			j++;
		if (j < count && to[j].info.base_offset == seg->base_offset &&
		    to[j].info.log_inode == seg->log_inode &&
		    to[j].info.index_inode == seg->index_inode)
			to[j].open = seg;
		else
			segment_push_out(reader, seg);
	}
}

int
tk_reader_set_segments(struct tk_reader *reader, const struct tk_part_key *key, uint64_t generation,
    const struct tk_segment_info *segments, size_t count)
{
	struct part_segment *list;
	struct part *part;

	if (!topic_sound(key->topic, key->topic_len) || key->partition < 0 ||
	    !list_sound(segments, count))
		return -EINVAL;
	list = calloc(count, sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	part = part_make(reader, key);
	if (part == NULL) {
		free(list);
		return -ENOMEM;
	}
	for (size_t i = 0; i < count; i++)
		list[i].info = segments[i];
	open_carry(reader, part, list, count);
	free(part->segments);
	part->segments = list;
	part->count = count;
	part->generation = generation;
	part->stale = false;
	return 0;
}

void
tk_reader_forget(struct tk_reader *reader, const struct tk_part_key *key)
{
	struct part *part = part_lookup(reader, key);

	if (part != NULL && part->incarnation == key->incarnation)
		part_free(reader, part);
}

/* The partition with a list that is good for state. */
int
part_find(struct tk_reader *reader, const struct tk_part_key *key,
    const struct tk_part_state *state, struct part **ret_part)
{
	struct part *part;

	if (state->incarnation != key->incarnation)
		return -ESTALE;
	if (key->directory >= reader->directories_count || reader->directories[key->directory] < 0)
		return -EINVAL;
	part = part_lookup(reader, key);
	if (part == NULL || part->incarnation != key->incarnation || part->stale ||
	    part->generation < state->segments_generation)
		return -EAGAIN;
	*ret_part = part;
	return 0;
}

/*
 * A segment is not what the list says: -EAGAIN, the list is to be told anew; -EIO if that was done
 * and it is the same.
 */
int
part_list_stale(struct part *part, int64_t base_offset)
{
	if (part->failed && part->failed_generation == part->generation &&
	    part->failed_base == base_offset)
		return -EIO;
	part->failed = true;
	part->failed_generation = part->generation;
	part->failed_base = base_offset;
	part->stale = true;
	return -EAGAIN;
}

/* The segment that would hold offset: the last that does not begin past it; the first if all do. */
size_t
part_floor(const struct part *part, int64_t offset)
{
	size_t low = 0, high = part->count;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (part->segments[mid].info.base_offset <= offset)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/*
 * Where reading a segment ends: at limit if it is in there, at its end if limit is in a later one,
 * at its beginning if limit is in an earlier one.
 */
int
part_segment_end(struct part *part, size_t index, const struct tk_position *limit, int64_t *ret_end)
{
	const struct tk_segment_info *info = &part->segments[index].info;

	if (info->base_offset > limit->segment)
		*ret_end = 0;
	else if (info->base_offset == limit->segment)
		*ret_end = limit->position;
	else if (index + 1 < part->count)
		*ret_end = info->size_bytes;
	else
		return part_list_stale(part, info->base_offset);
	return 0;
}
