/*
 * Creates and deletes topics for the tests, with librdkafka's admin client (Debian:
 *librdkafka-dev).
 *
 *	topic HOST:PORT create NAME PARTITIONS [CONFIG=VALUE...]
 *	topic HOST:PORT delete NAME...
 *
 * Prints the broker's error and exits 1 if there was one.  A topic made is a topic whose partitions
 *all answer: Apache Kafka says yes a little before that.
 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int
topics_check(const rd_kafka_topic_result_t **topics, size_t count)
{
	int rc = count == 0;

	for (size_t i = 0; i < count; i++) {
		if (rd_kafka_topic_result_error(topics[i]) == RD_KAFKA_RESP_ERR_NO_ERROR)
			continue;
		fprintf(stderr, "topic \"%s\": %s: %s\n", rd_kafka_topic_result_name(topics[i]),
		    rd_kafka_err2name(rd_kafka_topic_result_error(topics[i])),
		    rd_kafka_topic_result_error_string(topics[i]));
		rc = 1;
	}
	return rc;
}

static int
result_wait(rd_kafka_queue_t *queue)
{
	const rd_kafka_topic_result_t **topics;
	rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 30000);
	size_t count = 0;

	if (event == NULL || rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR) {
		fprintf(stderr, "%s\n",
		    event == NULL ? "no answer" : rd_kafka_event_error_string(event));
		return 1;
	}
	if (rd_kafka_event_CreateTopics_result(event) != NULL)
		topics = rd_kafka_CreateTopics_result_topics(
		    rd_kafka_event_CreateTopics_result(event), &count);
	else
		topics = rd_kafka_DeleteTopics_result_topics(
		    rd_kafka_event_DeleteTopics_result(event), &count);
	return topics_check(topics, count);
}

static int
partitions_wait(rd_kafka_t *rk, const char *name, int partitions)
{
	rd_kafka_resp_err_t rc = RD_KAFKA_RESP_ERR_NO_ERROR;
	int64_t low, high;

	for (int partition = 0, tries = 0; partition < partitions && tries < partitions + 200;
	     tries++) {
		rc = rd_kafka_query_watermark_offsets(rk, name, partition, &low, &high, 10000);
		if (rc == RD_KAFKA_RESP_ERR_NO_ERROR)
			partition++;
		else
			usleep(50000);
	}
	if (rc != RD_KAFKA_RESP_ERR_NO_ERROR)
		fprintf(stderr, "topic \"%s\" was made but does not answer: %s\n", name,
		    rd_kafka_err2str(rc));
	return rc != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static int
create(rd_kafka_t *rk, rd_kafka_queue_t *queue, int argc, char **argv)
{
	char errstr[512];
	rd_kafka_NewTopic_t *topic =
	    rd_kafka_NewTopic_new(argv[0], atoi(argv[1]), 1, errstr, sizeof(errstr));

	if (topic == NULL) {
		fprintf(stderr, "%s\n", errstr);
		return 1;
	}
	for (int i = 2; i < argc; i++) {
		char *value = strchr(argv[i], '=');

		*value++ = '\0';
		rd_kafka_NewTopic_set_config(topic, argv[i], value);
	}
	rd_kafka_CreateTopics(rk, &topic, 1, NULL, queue);
	return result_wait(queue) != 0 || partitions_wait(rk, argv[0], atoi(argv[1])) != 0;
}

static int delete (rd_kafka_t *rk, rd_kafka_queue_t *queue, int argc, char **argv)
{
	rd_kafka_DeleteTopic_t *topics[64];

	for (int i = 0; i < argc && i < 64; i++)
		topics[i] = rd_kafka_DeleteTopic_new(argv[i]);
	rd_kafka_DeleteTopics(rk, topics, (size_t)(argc < 64 ? argc : 64), NULL, queue);
	return result_wait(queue);
}

int
main(int argc, char **argv)
{
	char errstr[512];
	rd_kafka_conf_t *conf = rd_kafka_conf_new();
	rd_kafka_queue_t *queue;
	rd_kafka_t *rk;
	int rc;

	if (argc < 4 || (strcmp(argv[2], "create") == 0 && argc < 5))
		return 2;
	rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], NULL, 0);
	rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, errstr, sizeof(errstr));
	if (rk == NULL)
		return 2;
	queue = rd_kafka_queue_new(rk);
	rc = strcmp(argv[2], "create") == 0 ? create(rk, queue, argc - 3, argv + 3)
					    : delete (rk, queue, argc - 3, argv + 3);
	rd_kafka_queue_destroy(queue);
	rd_kafka_destroy(rk);
	return rc;
}
