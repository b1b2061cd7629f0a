/*
 * The C client of the librdkafka tests (Debian: librdkafka-dev).  It exits 1 and says why if the
 *broker answers otherwise than Apache Kafka does.
 *
 *	librdkafka_client HOST:PORT produce TOPIC PARTITIONS INPUT [PROPERTY=VALUE...]
 *	librdkafka_client HOST:PORT consume OUTPUT TOPIC:PARTITIONS[,TOPIC:PARTITIONS...]
 *[PROPERTY=VALUE...]
 *
 * produce deals the lines of INPUT to the partitions by turns and waits for each delivery report.
 * consume reads all partitions through one queue, from offset 0 to the end, checks that offsets
 *follow one another, and writes one line a record to OUTPUT.
 */
#include <err.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOPICS_MAX = 8, PARTITIONS_MAX = 64 };

static size_t delivered, refused;

static void
delivery_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
	(void)rk;
	(void)opaque;
	if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
		delivered++;
	else if (refused++ == 0)
		warnx("delivery failed: %s", rd_kafka_err2str(message->err));
}

static rd_kafka_t *
client_new(rd_kafka_type_t type, const char *bootstrap, char **properties)
{
	char errstr[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_t *rk;

	rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, NULL, 0);
	if (type == RD_KAFKA_PRODUCER)
		rd_kafka_conf_set_dr_msg_cb(conf, delivery_report);
	for (; *properties != NULL; properties++) {
		char *value = strchr(*properties, '=');

		*value++ = '\0';
		if (rd_kafka_conf_set(conf, *properties, value, errstr, sizeof(errstr)) !=
		    RD_KAFKA_CONF_OK)
			errx(2, "%s", errstr);
	}
	rk = rd_kafka_new(type, conf, errstr, sizeof(errstr));
	if (rk == NULL)
		errx(2, "%s", errstr);
	return rk;
}

static void
produce(const char *bootstrap, char **argv)
{
	rd_kafka_t *rk = client_new(RD_KAFKA_PRODUCER, bootstrap, argv + 3);
	int partitions = atoi(argv[1]);
	FILE *input = fopen(argv[2], "r");
	size_t sent = 0, size = 0;
	char *line = NULL;
	ssize_t length;

	if (input == NULL)
		err(2, "%s", argv[2]);
	while ((length = getline(&line, &size, input)) > 0) {
		rd_kafka_resp_err_t rc;

		while ((rc = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(argv[0]),
			    RD_KAFKA_V_PARTITION((int)(sent % (size_t)partitions)),
			    RD_KAFKA_V_VALUE(line, (size_t)length - 1),
			    RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END)) ==
		       RD_KAFKA_RESP_ERR__QUEUE_FULL)
			rd_kafka_poll(rk, 100);
		if (rc != RD_KAFKA_RESP_ERR_NO_ERROR)
			errx(1, "could not produce: %s", rd_kafka_err2str(rc));
		sent++;
	}
	if (rd_kafka_flush(rk, 60000) != RD_KAFKA_RESP_ERR_NO_ERROR || delivered != sent)
		errx(1, "%zu of %zu records were delivered", delivered, sent);
	rd_kafka_destroy(rk);
	fclose(input);
	free(line);
}

struct topic {
	rd_kafka_topic_t *rkt;
	int partitions;
	int64_t next_offset[PARTITIONS_MAX];
};

static int
topics_start(rd_kafka_t *rk, rd_kafka_queue_t *queue, char *list, struct topic *topics)
{
	int count = 0, started = 0;

	for (char *name = strtok(list, ","); name != NULL; name = strtok(NULL, ",")) {
		struct topic *topic = &topics[count++];
		char *partitions = strrchr(name, ':');

		*partitions++ = '\0';
		topic->partitions = atoi(partitions);
		topic->rkt = rd_kafka_topic_new(rk, name, NULL);
		for (int i = 0; i < topic->partitions; i++, started++)
			if (rd_kafka_consume_start_queue(topic->rkt, i, 0, queue) != 0)
				errx(1, "could not start: %s",
				    rd_kafka_err2str(rd_kafka_last_error()));
	}
	return started;
}

/* Returns 1 at a partition's end. */
static int
message_take(struct topic *topics, const rd_kafka_message_t *message, FILE *output)
{
	struct topic *topic = topics;

	if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
		return 1;
	if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
		errx(1, "%s", rd_kafka_message_errstr(message));
	while (topic->rkt != message->rkt)
		topic++;
	if (message->offset != topic->next_offset[message->partition]++)
		errx(1, "%s-%d: offset %lld instead of %lld", rd_kafka_topic_name(message->rkt),
		    message->partition, (long long)message->offset,
		    (long long)topic->next_offset[message->partition] - 1);
	fprintf(output, "%.*s\n", (int)message->len, (const char *)message->payload);
	return 0;
}

static void
consume(const char *bootstrap, char **argv)
{
	static struct topic topics[TOPICS_MAX];
	rd_kafka_t *rk = client_new(RD_KAFKA_CONSUMER, bootstrap, argv + 2);
	rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
	FILE *output = fopen(argv[0], "w");
	int left = topics_start(rk, queue, argv[1], topics);

	if (output == NULL)
		err(2, "%s", argv[0]);
	while (left > 0) {
		rd_kafka_message_t *message = rd_kafka_consume_queue(queue, 20000);

		if (message == NULL)
			errx(1, "nothing came for 20 seconds, %d partitions are not at their end",
			    left);
		left -= message_take(topics, message, output);
		rd_kafka_message_destroy(message);
	}
	if (fclose(output) != 0)
		err(2, "%s", argv[0]);
	for (struct topic *topic = topics; topic->rkt != NULL; topic++) {
		for (int i = 0; i < topic->partitions; i++)
			rd_kafka_consume_stop(topic->rkt, i);
		rd_kafka_topic_destroy(topic->rkt);
	}
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy(rk);
}

int
main(int argc, char **argv)
{
	if (argc >= 6 && strcmp(argv[2], "produce") == 0)
		produce(argv[1], argv + 3);
	else if (argc >= 5 && strcmp(argv[2], "consume") == 0)
		consume(argv[1], argv + 3);
	else
		errx(2, "usage: see the head of librdkafka_client.c");
	return 0;
}
