import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.AlterConfigsOptions;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.DescribeConfigsOptions;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.LogDirDescription;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.OffsetOutOfRangeException;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.InvalidConfigurationException;
import org.apache.kafka.common.errors.InvalidRequestException;
import org.apache.kafka.common.errors.RecordTooLargeException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;

/** LogAdmin HOST:PORT TOPIC: what the admin client of Apache Kafka does to configurations, records and directories. */
public final class LogAdmin {
	private static Admin admin;
	private static String topic;

	private static ConfigResource resource(String name) {
		return new ConfigResource(ConfigResource.Type.TOPIC, name);
	}

	private static void alter(String name, OpType op, String key, String value) throws Exception {
		Collection<AlterConfigOp> ops = List.of(new AlterConfigOp(new ConfigEntry(key, value), op));
		admin.incrementalAlterConfigs(Map.of(resource(name), ops)).all().get();
	}

	private static ConfigEntry config(String name, String key) throws Exception {
		return admin.describeConfigs(List.of(resource(name)), new DescribeConfigsOptions().includeSynonyms(true))
			.all().get().get(resource(name)).get(key);
	}

	static void configurations() throws Exception {
		var all = Common.create(admin, topic, 1, Map.of());

		Common.same(ConfigEntry.ConfigSource.DEFAULT_CONFIG, config(topic, "max.message.bytes").source(), "source");
		alter(topic, OpType.SET, "max.message.bytes", "2000");
		Common.same("2000", config(topic, "max.message.bytes").value(), "max.message.bytes");
		Common.same(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG, config(topic, "max.message.bytes").source(), "source");
		Common.same(ConfigEntry.ConfigSource.DYNAMIC_TOPIC_CONFIG,
			config(topic, "max.message.bytes").synonyms().get(0).source(), "first synonym");
		Common.fails(RecordTooLargeException.class, "",
			() -> Common.produce(all, List.of(new byte[3000]), "compression.type", "none"));
		alter(topic, OpType.DELETE, "max.message.bytes", "");
		Common.same(ConfigEntry.ConfigSource.DEFAULT_CONFIG, config(topic, "max.message.bytes").source(), "source");
		Common.produce(all, List.of(new byte[3000]), "compression.type", "none");
		alter(topic, OpType.APPEND, "cleanup.policy", "delete");
		Common.same("delete", config(topic, "cleanup.policy").value(), "cleanup.policy");
		Collection<AlterConfigOp> ops = List.of(
			new AlterConfigOp(new ConfigEntry("retention.ms", "1000000"), OpType.SET));
		admin.incrementalAlterConfigs(Map.of(resource(topic), ops), new AlterConfigsOptions().validateOnly(true))
			.all().get();
		Common.same("604800000", config(topic, "retention.ms").value(), "retention.ms after validateOnly");
	}

	static void refusals() throws Exception {
		Common.fails(InvalidConfigurationException.class, "Unknown topic config name: no.such.key",
			() -> alter(topic, OpType.SET, "no.such.key", "1"));
		Common.fails(InvalidConfigurationException.class, "retention.ms",
			() -> alter(topic, OpType.SET, "retention.ms", "soon"));
		Common.fails(InvalidConfigurationException.class,
			"Can't APPEND to key retention.ms because its type is not LIST.",
			() -> alter(topic, OpType.APPEND, "retention.ms", "1"));
		Common.fails(InvalidConfigurationException.class, "cleanup.policy",
			() -> alter(topic, OpType.APPEND, "cleanup.policy", "burn"));
		Common.fails(UnknownTopicOrPartitionException.class, "", () -> alter(topic + "-x", OpType.SET, "retention.ms", "1"));
		int node = admin.describeCluster().controller().get().id();
		Collection<AlterConfigOp> ops = List.of(
			new AlterConfigOp(new ConfigEntry("log.cleaner.threads", "2"), OpType.SET));
		Common.fails(InvalidRequestException.class, "takhin.conf", () -> admin.incrementalAlterConfigs(
			Map.of(new ConfigResource(ConfigResource.Type.BROKER, "" + node), ops)).all().get());
	}

	private static ListOffsetsResultInfo offset(TopicPartition p, OffsetSpec spec) throws Exception {
		return admin.listOffsets(Map.of(p, spec)).partitionResult(p).get();
	}

	private static long delete(TopicPartition p, long before) throws Exception {
		return admin.deleteRecords(Map.of(p, RecordsToDelete.beforeOffset(before))).lowWatermarks().get(p).get()
			.lowWatermark();
	}

	static void records() throws Exception {
		var all = Common.create(admin, topic + "-records", 1, Map.of("segment.bytes", "100000"));
		TopicPartition p = all.get(0);
		List<byte[]> values = new ArrayList<>();

		for (int i = 0; i < 300; i++)
			values.add(new byte[1000 + i]);
		Common.produce(all, values);
		Common.same(100L, delete(p, 100), "low watermark");
		Common.same(100L, offset(p, OffsetSpec.earliest()).offset(), "earliest");
		Common.same(100L, offset(p, OffsetSpec.earliestLocal()).offset(), "earliest local");
		Common.same(-1L, offset(p, OffsetSpec.latestTiered()).offset(), "latest tiered");
		Common.same(-1L, offset(p, OffsetSpec.earliestPendingUpload()).offset(), "earliest pending upload");
		Common.same(300L, offset(p, OffsetSpec.latest()).offset(), "latest");
		Common.check(offset(p, OffsetSpec.maxTimestamp()).offset() >= 100, "max timestamp below the start");
		Common.same(100L, delete(p, 50), "low watermark of an older offset");
		Common.fails(org.apache.kafka.common.errors.OffsetOutOfRangeException.class, "", () -> delete(p, 301));
		try (var consumer = Common.consumer()) {
			consumer.assign(all);
			consumer.seek(p, 99);
			Common.fails(OffsetOutOfRangeException.class, "", () -> consumer.poll(Duration.ofSeconds(10)));
			consumer.seek(p, 100);
			long next = 100, deadline = System.currentTimeMillis() + 60000;
			while (next < 300) {
				Common.check(System.currentTimeMillis() < deadline, "records are missing after a minute");
				for (var r : consumer.poll(Duration.ofSeconds(1))) {
					Common.same(next, r.offset(), "offset");
					Common.same(1000 + (int) next, r.value().length, "length of a record");
					next++;
				}
			}
		}
		Common.same(300L, delete(p, -1), "low watermark of everything");
		Common.same(300L, offset(p, OffsetSpec.earliest()).offset(), "earliest");
	}

	static void directories() throws Exception {
		int node = admin.describeCluster().controller().get().id();
		TopicPartition p = new TopicPartition(topic, 0);
		long size = -1;

		Common.produce(List.of(p), List.of(new byte[10000]), "compression.type", "none");
		for (LogDirDescription dir : admin.describeLogDirs(List.of(node)).allDescriptions().get().get(node).values()) {
			Common.check(dir.error() == null, "error: " + dir.error());
			Common.check(dir.totalBytes().getAsLong() >= dir.usableBytes().getAsLong(), "bytes of the file system");
			Common.check(dir.usableBytes().getAsLong() > 0, "no usable bytes");
			if (dir.replicaInfos().containsKey(p))
				size = dir.replicaInfos().get(p).size();
		}
		Common.check(size > 13000 && size < 15000, "the size of " + p + " is " + size);
	}

	/* A consumer that knows an epoch asks where it ends before it reads on. */
	static void epochs() throws Exception {
		TopicPartition p = new TopicPartition(topic, 0);

		try (var consumer = Common.consumer()) {
			consumer.assign(List.of(p));
			consumer.seek(p, new org.apache.kafka.clients.consumer.OffsetAndMetadata(1, java.util.Optional.of(0), ""));
			long deadline = System.currentTimeMillis() + 60000;
			while (consumer.position(p) < 2) {
				Common.check(System.currentTimeMillis() < deadline, "nothing is read at a validated offset");
				consumer.poll(Duration.ofSeconds(1));
			}
			/* An offset past the end of its epoch was truncated away, or never was. */
			consumer.seek(p, new org.apache.kafka.clients.consumer.OffsetAndMetadata(1000, java.util.Optional.of(0), ""));
			Common.fails(org.apache.kafka.clients.consumer.LogTruncationException.class, "", () -> {
				for (int i = 0; i < 20; i++)
					consumer.poll(Duration.ofSeconds(1));
			});
		}
	}

	public static void main(String[] args) throws Exception {
		Common.bootstrap = args[0];
		topic = args[1];
		admin = Common.admin();
		try {
			configurations();
			refusals();
			records();
			directories();
			epochs();
			admin.deleteTopics(List.of(topic, topic + "-records")).all().get();
		} finally {
			admin.close();
		}
	}

	private LogAdmin() {
	}
}
