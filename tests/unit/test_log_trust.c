/*
 * When the zone is believed: each condition, broken.
 */
#include "os/file.h"
#include "test_log_env.h"

#define LOG_0 "orders-3/00000000000000000000.log"

/* A directory with ten records whose writer died. */
static void
env_lived(struct env *env)
{
	env_init(env);
	env_open(env);
	for (int i = 0; i < 10; i++)
		CU_ASSERT(env_append(env, &(struct env_batch){ .value_bytes = 50 }).error == 0);
	env_close(env);
}

static void
expect_start(struct env *env, enum tk_trust trust, int64_t end)
{
	env->notes[0] = '\0';
	env_open(env);
	CU_ASSERT_EQUAL(tk_logdir_trust(env->dir), trust);
	CU_ASSERT_EQUAL(tk_log_state(env->log)->log_end.offset, end);
	CU_ASSERT_EQUAL(env_append(env, &(struct env_batch){ .value_bytes = 50 }).base_offset, end);
}

static void
test_trusted(void)
{
	struct env env;

	env_lived(&env);
	/* What is behind the published end never counted. */
	env_run("printf %s >> %s/" LOG_0, "garbage", env.data);
	expect_start(&env, TK_TRUST_ZONE, 10);
	env_close(&env);
	expect_start(&env, TK_TRUST_ZONE, 11);
	env_free(&env);
}

static void
test_other_boot(void)
{
	struct env env;

	env_lived(&env);
	env_write_boot(&env, ENV_BOOT_2);
	expect_start(&env, TK_TRUST_NONE, 10);
	env_free(&env);
}

static void
test_lost_zone(void)
{
	struct env env;

	env_lived(&env);
	env_run("rm %s/zone.0%s", env.run, "");
	expect_start(&env, TK_TRUST_NONE, 10);
	env_free(&env);
}

static void
test_copied(void)
{
	struct env env;

	env_lived(&env);
	env_run("cd %s && cp -a data copy && rm -r data && mv copy data%s", env.root, "");
	expect_start(&env, TK_TRUST_NONE, 10);
	env_free(&env);
}

/* A backup of a former start, put back into the same files. */
static void
test_backup_of_former_start(void)
{
	struct env env;

	env_lived(&env);
	env_run("cd %s && cp -a data backup%s", env.root, "");
	expect_start(&env, TK_TRUST_ZONE, 10);
	env_close(&env);
	env_run("cd %s/backup && find . -type f -exec cp -p '{}' ../data/'{}' ';'%s", env.root, "");
	expect_start(&env, TK_TRUST_NONE, 10);
	env_free(&env);
}

/* A backup of this very start: everything but the length matches. */
static void
test_backup_of_this_start(void)
{
	struct env env;

	env_lived(&env);
	expect_start(&env, TK_TRUST_ZONE, 10);
	env_run("cd %s && cp -a data backup%s", env.root, "");
	CU_ASSERT(env_append(&env, &(struct env_batch){ .value_bytes = 50 }).base_offset == 11);
	env_close(&env);
	env_run("cd %s/backup && find . -type f -exec cp -p '{}' ../data/'{}' ';'%s", env.root, "");
	expect_start(&env, TK_TRUST_ZONE, 11);
	CU_ASSERT(strstr(env.notes, "shorter than published") != NULL);
	env_free(&env);
}

static void
test_replaced_segment(void)
{
	struct env env;

	env_lived(&env);
	env_run("cd %s/orders-3 && cp -p *0.log x && mv x *0.log%s", env.data, "");
	expect_start(&env, TK_TRUST_ZONE, 10);
	CU_ASSERT(strstr(env.notes, "another file") != NULL);
	env_free(&env);
}

static void
test_missing_segment(void)
{
	struct env env;

	env_lived(&env);
	env_run("rm %s/orders-3/*0.log%s", env.data, "");
	expect_start(&env, TK_TRUST_ZONE, 0);
	CU_ASSERT(strstr(env.notes, "missing") != NULL);
	env_free(&env);
}

/* Kafka checkpoints every minute and at its stop. */
static void
test_foreign_checkpoint(void)
{
	struct env env;

	env_lived(&env);
	env_run("cd %s && printf '0\\n1\\norders 3 10\\n' > x && mv x "
		"recovery-point-offset-checkpoint%s",
	    env.data, "");
	expect_start(&env, TK_TRUST_NONE, 10);
	env_free(&env);
	env_lived(&env);
	env_run("cd %s && rm recovery-point-offset-checkpoint%s", env.data, "");
	expect_start(&env, TK_TRUST_NONE, 10);
	env_free(&env);
}

/* Kafka makes the active index 10 MiB as soon as it has the partition. */
static void
test_foreign_index(void)
{
	struct env env;

	env_lived(&env);
	env_run("truncate -s 10485760 %s/orders-3/*0.index%s", env.data, "");
	expect_start(&env, TK_TRUST_ZONE, 10);
	CU_ASSERT(strstr(env.notes, "something else wrote its index") != NULL);
	env_free(&env);
}

/* Somebody stopped cleanly after us, and somebody began after our own clean stop. */
static void
test_foreign_marker(void)
{
	struct env env;

	env_lived(&env);
	CU_ASSERT(tk_logdir_mark_clean(env.data) == 0);
	expect_start(&env, TK_TRUST_SIZE, 10);
	env_stop(&env);
	env_run("rm %s/.kafka_cleanshutdown%s", env.data, "");
	expect_start(&env, TK_TRUST_NONE, 11);
	env_free(&env);
}

/* The master died: its writer stopped, but nobody was left to write a marker. */
static void
test_orphaned(void)
{
	struct env env;

	env_lived(&env);
	env_open(&env);
	CU_ASSERT(tk_logdir_orphaned_stop(env.dir, &env.problem) == 0);
	env_close(&env);
	expect_start(&env, TK_TRUST_ZONE, 10);
	env_free(&env);
}

/* Another directory at the same zone name, by its id and by its device. */
static void
test_other_directory(void)
{
	struct tk_zone *zone;
	struct env env;

	env_lived(&env);
	env_run("sed -i 's/^directory.id=.*/directory.id=AAAAAAAAAAAAAAAAAAAAAQ/' "
		"%s/meta.properties%s",
	    env.data, "");
	expect_start(&env, TK_TRUST_NONE, 10);
	env_close(&env);
	CU_ASSERT_FATAL(tk_zone_open(env.run_fd, "zone.0", &zone) == 0);
	tk_zone_header(zone)->st_dev++;
	tk_zone_close(&zone);
	expect_start(&env, TK_TRUST_NONE, 11);
	env_free(&env);
}

static void
test_nonce(void)
{
	struct env env;

	env_lived(&env);
	env_run("rm %s/.takhin_start%s", env.data, "");
	expect_start(&env, TK_TRUST_NONE, 10);
	env_close(&env);
	env_run("tr A-Za-z B-ZAb-za < %s/.takhin_start > %s/n", env.data, env.root);
	env_run("cat %s/n > %s/.takhin_start", env.root, env.data);
	expect_start(&env, TK_TRUST_NONE, 11);
	env_free(&env);
}

/* The slot is another partition's, or a former life's of this one. */
static void
test_incarnation(void)
{
	struct env env;

	env_lived(&env);
	env.identity.incarnation = 44;
	expect_start(&env, TK_TRUST_ZONE, 10);
	tk_logdir_recovery_done(env.dir);
	CU_ASSERT(strstr(env.notes, "recovered") != NULL);
	env_free(&env);
}

static void
test_sync_underway(void)
{
	struct tk_part_state state;
	struct tk_zone *zone;
	struct env env;

	env_lived(&env);
	CU_ASSERT_FATAL(tk_zone_open(env.run_fd, "zone.0", &zone) == 0);
	CU_ASSERT(tk_zone_read(zone, 5, &state, NULL));
	state.sync_underway = 10;
	tk_zone_publish(zone, 5, &state);
	tk_zone_close(&zone);
	expect_start(&env, TK_TRUST_ZONE, 10);
	CU_ASSERT(strstr(env.notes, "a sync was under way") != NULL);
	env_free(&env);
}

static int log_reads, log_opens;

/* Counts what is opened and read of .log files. */
static int
count_log_reads(enum tk_file_op op, const char *path, int fd, size_t *bytes)
{
	char name[64], target[256];
	ssize_t len;

	(void)bytes;
	if (op == TK_FILE_OPEN && strlen(path) > 4)
		log_opens += strcmp(path + strlen(path) - 4, ".log") == 0;
	if (op != TK_FILE_READ)
		return 0;
	(void)snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	len = readlink(name, target, sizeof(target) - 1);
	target[len < 0 ? 0 : len] = '\0';
	log_reads += len > 4 && strcmp(target + len - 4, ".log") == 0;
	return 0;
}

/* After a clean stop, and after a death, a start reads no record bytes. */
static void
test_starts_read_nothing(void)
{
	struct env env;

	env_lived(&env);
	log_reads = log_opens = 0;
	tk_file_fault = count_log_reads;
	env_open(&env);
	CU_ASSERT(tk_logdir_trust(env.dir) == TK_TRUST_ZONE && log_opens == 0);
	env_stop(&env);
	env_write_boot(&env, ENV_BOOT_2);
	log_reads = log_opens = 0;
	env_open(&env);
	tk_file_fault = NULL;
	CU_ASSERT(tk_logdir_trust(env.dir) == TK_TRUST_SIZE);
	CU_ASSERT(log_reads == 0 && log_opens == 0);
	CU_ASSERT(tk_log_state(env.log)->log_end.offset == 10);
	CU_ASSERT(tk_log_state(env.log)->durable_end == 10);
	env_free(&env);
}

/* A power cut leaves anything in a small file that was not synced; it is made anew. */
static void
test_damaged_epochs(void)
{
	static const char *const texts[] = { "garbage", "0\\n", "0\\n7", "0\\n1x", "" };
	struct env_bytes file;
	struct env env;

	for (size_t i = 0; i < TK_COUNT_OF(texts); i++) {
		env_lived(&env);
		env_run("printf '%s' > %s/orders-3/leader-epoch-checkpoint", texts[i], env.data);
		env_write_boot(&env, ENV_BOOT_2);
		expect_start(&env, TK_TRUST_NONE, 10);
		file = env_read(&env, "orders-3/leader-epoch-checkpoint");
		CU_ASSERT(file.len > 4 && memcmp(file.data, "0\n1\n", 4) == 0);
		free(file.data);
		env_free(&env);
	}
}

/* A clean stop whose checkpoint says nothing of the partition, or whose snapshot is gone. */
static void
test_clean_without_helpers(void)
{
	struct env env;

	env_lived(&env);
	env_open(&env);
	env_stop(&env);
	env_run("cd %s && printf '0\\n0\\n' > recovery-point-offset-checkpoint; rm -f "
		"orders-3/*.index orders-3/*.timeindex%s",
	    env.data, "");
	expect_start(&env, TK_TRUST_SIZE, 10);
	env_stop(&env);
	env_run("cd %s && rm orders-3/*.snapshot recovery-point-offset-checkpoint%s", env.data, "");
	expect_start(&env, TK_TRUST_SIZE, 11);
	env_free(&env);
}

TK_UNIT_MAIN("log trust", { "trusted", test_trusted }, { "another boot", test_other_boot },
    { "zone lost", test_lost_zone }, { "copied directory", test_copied },
    { "backup of a former start", test_backup_of_former_start },
    { "backup of this start", test_backup_of_this_start },
    { "segment replaced", test_replaced_segment }, { "segment missing", test_missing_segment },
    { "Kafka's checkpoint", test_foreign_checkpoint }, { "Kafka's index", test_foreign_index },
    { "Kafka's marker", test_foreign_marker }, { "master gone", test_orphaned },
    { "another directory", test_other_directory }, { "nonce", test_nonce },
    { "incarnation", test_incarnation }, { "sync under way", test_sync_underway },
    { "starts read no records", test_starts_read_nothing },
    { "damaged epochs", test_damaged_epochs },
    { "clean without helpers", test_clean_without_helpers })
