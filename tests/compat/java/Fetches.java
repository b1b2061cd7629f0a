import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.common.TopicPartition;

/**
 * Fetches HOST:PORT TOPIC: 40 partitions of 3 topics, five of them empty, in mixed codecs by one Fetch,
 * with and without room for all of it; and batches larger than every limit of the consumer.
 */
public final class Fetches {
	private static List<byte[]> values(int count, int size) {
		Random random = new Random(1);
		List<byte[]> values = new ArrayList<>();

		for (int i = 0; i < count; i++) {
			byte[] value = new byte[random.nextInt(size)];
			random.nextBytes(value);
			values.add(value);
		}
		return values;
	}

	private static void wide(Admin admin, String topic) throws Exception {
		List<TopicPartition> filled = new ArrayList<>(Common.create(admin, topic + "-a", 20, Map.of()));
		List<byte[]> values = values(5250, 1000), all = new ArrayList<>();

		filled.addAll(Common.create(admin, topic + "-b", 15, Map.of()));
		for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
			Common.produce(filled, values, "compression.type", codec, "batch.size", 4000, "linger.ms", 5);
			all.addAll(values);
		}
		List<TopicPartition> everything = new ArrayList<>(filled);
		everything.addAll(Common.create(admin, topic + "-c", 5, Map.of()));
		for (int limit : new int[] { 1 << 20, 5000, 1 })
			Common.consume(filled, everything, all, "max.partition.fetch.bytes", limit);
		Common.consume(filled, everything, all, "fetch.max.bytes", 50000);
	}

	private static void large(Admin admin, String topic) throws Exception {
		List<TopicPartition> all = Common.create(admin, topic + "-large", 3, Map.of());
		List<byte[]> values = new ArrayList<>();

		for (int i = 0; i < 9; i++)
			values.add(new byte[900000 + i]);
		Common.produce(all, values, "compression.type", "none", "batch.size", 1);
		Common.consume(all, values, "fetch.max.bytes", 1000, "max.partition.fetch.bytes", 1000);
		Common.consume(all, values, "fetch.max.bytes", 1000000, "max.partition.fetch.bytes", 1);
	}

	public static void main(String[] args) throws Exception {
		Common.bootstrap = args[0];
		try (Admin admin = Common.admin()) {
			wide(admin, args[1]);
			large(admin, args[1]);
			admin.deleteTopics(List.of(args[1] + "-a", args[1] + "-b", args[1] + "-c", args[1] + "-large"))
				.all().get();
		}
	}

	private Fetches() {
	}
}
