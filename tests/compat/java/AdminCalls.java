import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreateTopicsOptions;
import org.apache.kafka.clients.admin.CreateTopicsResult;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidPartitionsException;
import org.apache.kafka.common.errors.InvalidReplicaAssignmentException;
import org.apache.kafka.common.errors.InvalidReplicationFactorException;
import org.apache.kafka.common.errors.InvalidTopicException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicIdException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;

/** AdminCalls HOST:PORT TOPIC: topics, configurations and offsets as Kafka's admin client sees them, good and bad. */
public final class AdminCalls {
	private static Admin admin;
	private static String topic;

	private static void create(NewTopic t) throws Exception {
		admin.createTopics(List.of(t)).all().get();
	}

	private static TopicDescription describe(String name) throws Exception {
		return admin.describeTopics(List.of(name)).allTopicNames().get().get(name);
	}

	private static Set<String> names() throws Exception {
		return admin.listTopics().names().get();
	}

	static void topics() throws Exception {
		CreateTopicsResult made = admin.createTopics(List.of(
			new NewTopic(topic, 4, (short) 1).configs(Map.of("retention.ms", "86400000"))));
		Common.same(4, made.numPartitions(topic).get(), "numPartitions");
		Common.same(1, made.replicationFactor(topic).get(), "replicationFactor");
		Common.same("86400000", made.config(topic).get().get("retention.ms").value(), "retention.ms");
		TopicDescription got = describe(topic);
		Common.same(made.topicId(topic).get(), got.topicId(), "topic id");
		Common.check(!got.topicId().equals(Uuid.ZERO_UUID), "the topic has no id");
		Common.same(4, got.partitions().size(), "partitions");
		Common.check(got.partitions().get(3).leader() != null && got.partitions().get(3).isr().size() == 1,
			"partition 3 has no leader");
		Common.same(topic, admin.describeTopics(TopicCollection.ofTopicIds(List.of(got.topicId())))
			.allTopicIds().get().get(got.topicId()).name(), "the topic by its id");
		Common.check(names().contains(topic), "the topic is not listed");
		admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(6))).all().get();
		Common.same(6, describe(topic).partitions().size(), "partitions after createPartitions");
		admin.createTopics(List.of(new NewTopic(topic + "-not", 1, (short) 1)),
			new CreateTopicsOptions().validateOnly(true)).all().get();
		Common.check(!names().contains(topic + "-not"), "validateOnly made a topic");
		create(new NewTopic(topic + "-defaults", Optional.empty(), Optional.empty()));
		create(new NewTopic(topic + "-assigned", Map.of(0, List.of(leader(topic)), 1, List.of(leader(topic)))));
		Common.same(2, describe(topic + "-assigned").partitions().size(), "partitions of an assignment");
	}

	private static int leader(String name) throws Exception {
		return describe(name).partitions().get(0).leader().id();
	}

	static void refusals() throws Exception {
		for (String bad : List.of(".", "..", "a b", "a/b", "\u00e9", "x".repeat(250), ""))
			Common.fails(InvalidTopicException.class, "", () -> create(new NewTopic(bad, 1, (short) 1)));
		Common.fails(TopicExistsException.class, "already exists", () -> create(new NewTopic(topic, 1, (short) 1)));
		create(new NewTopic(topic + "-a.b", 1, (short) 1));
		Common.fails(InvalidTopicException.class, "collides",
			() -> create(new NewTopic(topic + "-a_b", 1, (short) 1)));
		Common.fails(InvalidReplicationFactorException.class, "", () -> create(new NewTopic(topic + "-x", 1, (short) 2)));
		Common.fails(InvalidReplicationFactorException.class, "", () -> create(new NewTopic(topic + "-x", 1, (short) 0)));
		Common.fails(InvalidPartitionsException.class, "", () -> create(new NewTopic(topic + "-x", 0, (short) 1)));
		Common.fails(InvalidReplicaAssignmentException.class, "",
			() -> create(new NewTopic(topic + "-x", Map.of(0, List.of(4711)))));
		for (Map<String, String> bad : List.of(Map.of("no.such.key", "1"), Map.of("retention.ms", "soon"),
				Map.of("max.message.bytes", "-1"), Map.of("cleanup.policy", "burn")))
			Common.fails(InvalidConfigurationException.class, bad.keySet().iterator().next(),
				() -> create(new NewTopic(topic + "-x", 1, (short) 1).configs(bad)));
		Common.fails(InvalidPartitionsException.class, "",
			() -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(6))).all().get());
		Common.fails(InvalidPartitionsException.class, "",
			() -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(2))).all().get());
		Common.fails(UnknownTopicOrPartitionException.class, "",
			() -> admin.createPartitions(Map.of(topic + "-x", NewPartitions.increaseTo(2))).all().get());
		Common.fails(UnknownTopicOrPartitionException.class, "", () -> describe(topic + "-x"));
		Common.fails(UnknownTopicOrPartitionException.class, "",
			() -> admin.deleteTopics(List.of(topic + "-x")).all().get());
		Uuid unknown = Uuid.randomUuid();
		Common.fails(UnknownTopicIdException.class, "",
			() -> admin.deleteTopics(TopicCollection.ofTopicIds(List.of(unknown))).all().get());
		Common.fails(UnknownTopicIdException.class, "",
			() -> admin.describeTopics(TopicCollection.ofTopicIds(List.of(unknown))).allTopicIds().get());
		Common.check(!names().contains(topic + "-x"), "a refused topic was made");
	}

	private static ConfigEntry config(ConfigResource resource, String key) throws Exception {
		return admin.describeConfigs(List.of(resource), new DescribeConfigsOptions().includeSynonyms(true)
			.includeDocumentation(true)).all().get().get(resource).get(key);
	}

	static void configurations() throws Exception {
		ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
		ConfigEntry set = config(resource, "retention.ms"), unset = config(resource, "segment.bytes");

		Common.same("86400000", set.value(), "retention.ms");
		Common.same(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, set.source(), "source of retention.ms");
		Common.same(ConfigEntry.ConfigType.LONG, set.type(), "type of retention.ms");
		Common.same(ConfigEntry.ConfigSource.DEFAULT_CONFIG, unset.source(), "source of segment.bytes");
		Common.same("1073741824", unset.value(), "segment.bytes");
		Common.same("log.segment.bytes", unset.synonyms().get(0).name(), "synonym of segment.bytes");
		Common.check(set.synonyms().size() >= 1, "retention.ms has no synonym");
		for (String key : List.of("cleanup.policy", "min.insync.replicas", "max.message.bytes", "compression.type",
				"retention.bytes", "message.timestamp.type"))
			Common.check(config(resource, key) != null, "no " + key);
		ConfigResource broker = new ConfigResource(ConfigResource.Type.BROKER, "" + leader(topic));
		Common.check(config(broker, "num.partitions") != null, "the broker has no num.partitions");
		Common.check(config(broker, "log.retention.ms") != null || config(broker, "log.retention.hours") != null,
			"the broker has no retention");
		Common.fails(UnknownTopicOrPartitionException.class, "",
			() -> config(new ConfigResource(ConfigResource.Type.TOPIC, topic + "-x"), "retention.ms"));
	}

	static void cluster() throws Exception {
		var cluster = admin.describeCluster();
		Common.same(1, cluster.nodes().get().size(), "nodes");
		Common.same(cluster.nodes().get().iterator().next().id(), cluster.controller().get().id(), "controller");
		Common.check(!cluster.clusterId().get().isEmpty(), "no cluster id");
	}

	private static long offset(TopicPartition p, OffsetSpec spec) throws Exception {
		return admin.listOffsets(Map.of(p, spec)).partitionResult(p).get().offset();
	}

	static void offsets() throws Exception {
		TopicPartition p = new TopicPartition(topic, 0);
		List<byte[]> some = List.of(new byte[1], new byte[2], new byte[3]);

		Common.same(0L, offset(p, OffsetSpec.latest()), "latest of an empty partition");
		Common.same(-1L, offset(p, OffsetSpec.maxTimestamp()), "max timestamp of an empty partition");
		Common.produce(List.of(p), some);
		Thread.sleep(20);
		long middle = System.currentTimeMillis();
		Thread.sleep(20);
		Common.produce(List.of(p), some);
		Common.same(0L, offset(p, OffsetSpec.earliest()), "earliest");
		Common.same(6L, offset(p, OffsetSpec.latest()), "latest");
		Common.same(3L, offset(p, OffsetSpec.forTimestamp(middle)), "offset for a time");
		Common.same(-1L, offset(p, OffsetSpec.forTimestamp(middle + 100000)), "offset for a time to come");
		Common.check(offset(p, OffsetSpec.maxTimestamp()) >= 3, "max timestamp is not in the last batch");
		try (var consumer = Common.consumer()) {
			consumer.assign(List.of(p));
			consumer.seek(p, 1000);
			Common.fails(OffsetOutOfRangeException.class, "", () -> consumer.poll(Duration.ofSeconds(10)));
			Common.check(consumer.partitionsFor(topic + "-x", Duration.ofSeconds(2)).isEmpty(), "no such topic");
		}
		Common.check(!names().contains(topic + "-x"), "a consumer that asked for none made a topic");
	}

	static void sizes() throws Exception {
		String name = topic + "-small";
		var all = Common.create(admin, name, 1, Map.of("max.message.bytes", "2000"));

		Common.fails(RecordTooLargeException.class, "",
			() -> Common.produce(all, List.of(new byte[3000]), "compression.type", "none"));
		Common.produce(all, List.of(new byte[3000]), "compression.type", "gzip");
		Common.fails(RecordTooLargeException.class, "", () -> Common.produce(
			List.of(new TopicPartition(topic, 1)), List.of(new byte[2000000]), "max.request.size", 4000000));
		Common.produce(all, List.of(new byte[1000]), "acks", "0", "enable.idempotence", false);
		Common.produce(all, List.of(new byte[1000]), "acks", "1", "enable.idempotence", false);
		Common.consume(all, List.of(new byte[3000], new byte[1000], new byte[1000]));
	}

	static void deletedAndMadeAgain() throws Exception {
		String name = topic + "-again";

		for (int turn = 1; turn <= 5; turn++) {
			var all = Common.create(admin, name, 3, Map.of());
			Uuid id = describe(name).topicId();
			List<byte[]> values = List.of(new byte[turn], new byte[10 + turn], new byte[20 + turn]);
			Common.produce(all, values);
			Common.consume(all, values);
			admin.deleteTopics(TopicCollection.ofTopicIds(List.of(id))).all().get();
			Common.check(!names().contains(name), "a deleted topic is listed");
			Common.fails(UnknownTopicIdException.class, "", () -> admin.describeTopics(
				TopicCollection.ofTopicIds(List.of(id))).allTopicIds().get());
		}
	}

	public static void main(String[] args) throws Exception {
		Common.bootstrap = args[0];
		topic = args[1];
		admin = Common.admin();
		try {
			Object[][] calls = { { "topics", (Common.Call) AdminCalls::topics },
				{ "refusals", (Common.Call) AdminCalls::refusals },
				{ "configurations", (Common.Call) AdminCalls::configurations },
				{ "cluster", (Common.Call) AdminCalls::cluster },
				{ "offsets", (Common.Call) AdminCalls::offsets },
				{ "sizes", (Common.Call) AdminCalls::sizes },
				{ "deleted and made again", (Common.Call) AdminCalls::deletedAndMadeAgain } };
			int failed = 0;
			for (Object[] call : calls) {
				try {
					((Common.Call) call[1]).run();
				} catch (Exception | AssertionError e) {
					failed++;
					System.err.println(call[0] + ": " + e);
					e.printStackTrace();
				}
			}
			admin.deleteTopics(names().stream().filter(n -> n.startsWith(topic)).toList()).all().get();
			System.exit(failed == 0 ? 0 : 1);
		} finally {
			admin.close();
		}
	}

	private AdminCalls() {
	}
}
