/*
 * Whether the zone may be believed about a directory, and the marks that let the next start ask.
 *
 * Writer process, at start.  Each condition has a failure of the world behind it; README.md lists
 * them, tests/unit/test_log_trust.c breaks each.  A writer killed at any instruction in here leaves
 * either what it found or what it made, never a zone that is believed wrongly.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/killpoint.h"
#include "base/uuid.h"
#include "log/logdir_private.h"

#define NONCE_FILE   ".takhin_start"
#define BOOT_ID_PATH "/proc/sys/kernel/random/boot_id"

/* What the directory says about the start before this one. */
struct former_start {
	struct tk_uuid nonce;
	struct tk_uuid boot_id;
};

/* "xxxxxxxx-xxxx-...": 32 hex digits with dashes anywhere between. */
static int
parse_hex(const char *text, struct tk_uuid *ret_uuid)
{
	size_t digits = 0;

	for (; *text != '\0' && *text != '\n' && digits < 32; text++) {
		int value;

		if (*text == '-')
			continue;
		if (*text >= '0' && *text <= '9')
			value = *text - '0';
		else if (*text >= 'a' && *text <= 'f')
			value = *text - 'a' + 10;
		else
			return -EBADMSG;
		ret_uuid->b[digits / 2] = (uint8_t)(ret_uuid->b[digits / 2] << 4 | value);
		digits++;
	}
	return digits == 32 ? 0 : -EBADMSG;
}

static int
read_boot_id(const char *path, struct tk_uuid *ret_boot_id)
{
	struct tk_uuid boot_id;
	char text[64];
	size_t len;
	int fd, rc;

	rc = tk_file_open(AT_FDCWD, path == NULL ? BOOT_ID_PATH : path, O_RDONLY, 0, &fd);
	if (rc < 0)
		return rc;
	rc = tk_file_pread(fd, text, sizeof(text) - 1, 0, &len);
	tk_file_close(&fd);
	if (rc < 0)
		return rc;
	text[len] = '\0';
	rc = parse_hex(text, &boot_id);
	if (rc == 0)
		*ret_boot_id = boot_id;
	return rc;
}

/* Zero where the directory has never been ours, or the file says nothing. */
static struct former_start
read_former_start(const struct tk_logdir *dir)
{
	struct former_start former = { 0 };
	size_t len;
	char *text;

	if (tk_file_read_all(dir->fd, NONCE_FILE, 256, &text, &len) < 0)
		return former;
	if (len < 2 * TK_UUID_TEXT_LEN + 1 ||
	    tk_uuid_parse(text, TK_UUID_TEXT_LEN, &former.nonce) < 0 ||
	    tk_uuid_parse(text + TK_UUID_TEXT_LEN + 1, TK_UUID_TEXT_LEN, &former.boot_id) < 0)
		former = (struct former_start){ 0 };
	free(text);
	return former;
}

static bool
nonce_matches(const struct tk_zone_header *header, const struct former_start *former)
{
	return !tk_uuid_is_zero(&former->nonce) &&
	       (tk_uuid_equal(&former->nonce, &header->start_nonce[0]) ||
		   tk_uuid_equal(&former->nonce, &header->start_nonce[1]));
}

static bool
checkpoint_matches(const struct tk_logdir *dir, const struct tk_zone_header *header)
{
	struct tk_file_info info;

	if (tk_file_stat(dir->fd, TK_RECOVERY_POINTS, &info) < 0)
		return false;
	for (size_t i = 0; i < TK_COUNT_OF(header->checkpoint); i++)
		if (header->checkpoint[i].inode == info.inode &&
		    header->checkpoint[i].mtime_ns == info.mtime_ns)
			return true;
	return false;
}

/* Why the zone is not believed, or NULL. */
static const char *
distrust(const struct tk_logdir *dir, const struct tk_zone_header *header,
    const struct former_start *former, bool marker, uint64_t device)
{
	if (tk_uuid_is_zero(&header->boot_id))
		return "it is new";
	if (!tk_uuid_equal(&header->boot_id, &dir->boot_id))
		return "it is of another boot";
	if (!tk_uuid_equal(&header->directory_id, &dir->props.directory_id))
		return "it is of another directory";
	if (header->st_dev != device)
		return "the directory is on another device";
	if (!nonce_matches(header, former))
		return "the directory was last started without it";
	if (!checkpoint_matches(dir, header))
		return "something else wrote \"" TK_RECOVERY_POINTS "\"";
	if (marker != (header->stopped_clean != 0))
		return marker ? "something else stopped cleanly here"
			      : "something else took the marker of our clean stop";
	return NULL;
}

static int
write_nonce(const struct tk_logdir *dir, const struct tk_uuid *nonce)
{
	char nonce_text[TK_UUID_TEXT_LEN + 1], boot_text[TK_UUID_TEXT_LEN + 1];
	char text[2 * TK_UUID_TEXT_LEN + 3];
	struct tk_file_replace what = { .dir_fd = dir->fd, .path = NONCE_FILE, .sync = true };
	int len;

	tk_uuid_format(nonce, nonce_text);
	tk_uuid_format(&dir->boot_id, boot_text);
	len = snprintf(text, sizeof(text), "%s %s\n", nonce_text, boot_text);
	what.data = text;
	what.len = (size_t)len;
	return tk_file_replace(&what);
}

/* Nothing in the zone counts any more; it is about this directory from here on. */
static void
adopt_zone(struct tk_logdir *dir, struct tk_zone_header *header, uint64_t device)
{
	static const struct tk_uuid none;
	struct tk_file_info info;

	header->start_nonce[0] = header->start_nonce[1] = none;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	tk_killpoint("trust_cleared");
	tk_zone_forget(dir->zone);
	header->boot_id = dir->boot_id;
	header->directory_id = dir->props.directory_id;
	header->st_dev = device;
	memset(header->checkpoint, 0, sizeof(header->checkpoint));
	if (tk_file_stat(dir->fd, TK_RECOVERY_POINTS, &info) == 0)
		header->checkpoint[0] = (struct tk_zone_file){ info.inode, info.mtime_ns };
}

/* The marker goes before anything can be appended; it has been read. */
static int
take_marker(const struct tk_logdir *dir, bool marker)
{
	int rc;

	if (!marker)
		return 0;
	rc = tk_file_unlink(dir->fd, TK_CLEAN_MARKER);
	if (rc == 0)
		rc = tk_file_sync_dir(dir->fd, ".");
	return rc;
}

static int
begin_start(struct tk_logdir *dir, struct tk_zone_header *header)
{
	static const struct tk_uuid none;
	struct tk_uuid nonce = tk_uuid_random();
	int rc;

	header->start_nonce[1] = nonce;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	tk_killpoint("trust_next_nonce");
	rc = write_nonce(dir, &nonce);
	if (rc < 0)
		return rc;
	tk_killpoint("trust_nonce_written");
	header->start_nonce[0] = nonce;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	header->start_nonce[1] = none;
	return 0;
}

int
tk_logdir_begin(struct tk_logdir *dir, struct tk_log_problem *ret_problem)
{
	struct tk_zone_header *header = tk_zone_header(dir->zone);
	struct tk_file_info info, marker_info;
	struct former_start former;
	const char *why;
	bool marker;
	int rc;

	rc = read_boot_id(dir->boot_id_path, &dir->boot_id);
	if (rc == 0)
		rc = tk_file_stat_fd(dir->fd, &info);
	if (rc < 0) {
		tk_log_problem_set(ret_problem, "could not read the boot id: %s", strerror(-rc));
		return rc;
	}
	former = read_former_start(dir);
	dir->same_boot = tk_uuid_equal(&former.boot_id, &dir->boot_id);
	marker = tk_file_stat(dir->fd, TK_CLEAN_MARKER, &marker_info) == 0;
	why = distrust(dir, header, &former, marker, info.device);
	dir->trust = why == NULL ? TK_TRUST_ZONE : marker ? TK_TRUST_SIZE : TK_TRUST_NONE;
	if (why != NULL) {
		tk_logdir_say(dir, TK_LEVEL_INFO,
		    "data directory \"%s\": the zone is not used (%s), %s", dir->path, why,
		    marker ? "it was stopped cleanly" : "partitions will be recovered");
		adopt_zone(dir, header, info.device);
	}
	/* In this order: dying in between, a marker that is not the zone's still tells the truth.
	 */
	header->stopped_clean = 0;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	tk_killpoint("trust_before_marker");
	rc = take_marker(dir, marker);
	tk_killpoint("trust_marker_taken");
	if (rc == 0)
		rc = begin_start(dir, header);
	if (rc < 0)
		tk_log_problem_set(ret_problem, "could not write in data directory \"%s\": %s",
		    dir->path, strerror(-rc));
	return rc;
}
