import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.record.TimestampType;

/**
 * Waits HOST:PORT TOPIC: a Fetch at the end is kept until there is something and then answered at once; it
 * waits for fetch.min.bytes, but not longer than fetch.max.wait.ms; a partition added or emptied meanwhile.
 */
public final class Waits {
	private static double fetches(KafkaConsumer<byte[], byte[]> consumer) {
		return consumer.metrics().entrySet().stream()
			.filter(e -> e.getKey().name().equals("fetch-total"))
			.mapToDouble(e -> (Double) e.getValue().metricValue()).max().orElse(-1);
	}

	private static long now() {
		return System.nanoTime() / 1000000;
	}

	/** Polls until so many records are there, for 0 records the whole time; returns how long it took. */
	private static long poll(KafkaConsumer<byte[], byte[]> consumer, int records, int ms) {
		long start = now();
		int got = 0;

		while ((got < records || records == 0) && now() - start < ms)
			got += consumer.poll(Duration.ofMillis(ms - (now() - start))).count();
		Common.same(records, got, "number of records");
		return now() - start;
	}

	private static void idle(List<TopicPartition> all) throws Exception {
		try (var consumer = Common.consumer("fetch.max.wait.ms", 5000); var producer = Common.producer()) {
			consumer.assign(all);
			consumer.seekToBeginning(all);
			poll(consumer, 0, 1000);
			double before = fetches(consumer);
			poll(consumer, 0, 2000);
			Common.check(fetches(consumer) - before <= 1, "an idle consumer asked again and again");
			long worst = 0;
			for (int i = 0; i < 30; i++) {
				TopicPartition p = all.get(i % all.size());
				long start = now();
				Thread asker = new Thread(() -> producer.send(new ProducerRecord<>(p.topic(), p.partition(), null,
					new byte[10])));
				asker.start();
				poll(consumer, 1, 5000);
				asker.join();
				worst = Math.max(worst, now() - start);
				Common.check(worst < 1500, "a waiting consumer got its record after " + worst + " ms");
			}
			System.out.println("longest wait for a record: " + worst + " ms");
		}
	}

	private static void minBytes(TopicPartition p) throws Exception {
		try (var consumer = Common.consumer("fetch.min.bytes", 20000, "fetch.max.wait.ms", 3000);
				var producer = Common.producer()) {
			consumer.assign(List.of(p));
			consumer.seekToEnd(List.of(p));
			consumer.position(p);
			producer.send(new ProducerRecord<>(p.topic(), p.partition(), null, new byte[100])).get();
			long ms = poll(consumer, 1, 9000);
			Common.check(ms > 2500 && ms < 5000, "100 of 20000 bytes came after " + ms + " ms");
			for (int i = 0; i < 3; i++)
				producer.send(new ProducerRecord<>(p.topic(), p.partition(), null, new byte[9000])).get();
			ms = poll(consumer, 3, 9000);
			Common.check(ms < 1500, "27000 of 20000 bytes came after " + ms + " ms");
		}
	}

	/** A topic that takes the broker's time, read by a consumer that was waiting when it was deleted. */
	private static void appendTime(Admin admin, String topic) throws Exception {
		var all = Common.create(admin, topic, 1, Map.of("message.timestamp.type", "LogAppendTime"));
		long start = System.currentTimeMillis();

		try (var producer = Common.producer("compression.type", "gzip")) {
			Common.check(producer.send(new ProducerRecord<>(topic, 0, 12345L, null, new byte[1])).get().timestamp()
				>= start, "the producer was not told the time of the append");
		}
		try (var consumer = Common.consumer("fetch.max.wait.ms", 3000)) {
			consumer.assign(all);
			consumer.seekToBeginning(all);
			ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofSeconds(9));
			ConsumerRecord<byte[], byte[]> r = records.iterator().next();
			Common.same(TimestampType.LOG_APPEND_TIME, r.timestampType(), "timestamp type");
			Common.check(r.timestamp() >= start, "the record keeps the time of its producer");
			consumer.poll(Duration.ofMillis(500));
			admin.deleteTopics(List.of(topic)).all().get();
			consumer.poll(Duration.ofMillis(500));
		}
	}

	public static void main(String[] args) throws Exception {
		Common.bootstrap = args[0];
		try (Admin admin = Common.admin()) {
			var all = Common.create(admin, args[1], 8, Map.of());
			idle(all);
			minBytes(all.get(0));
			appendTime(admin, args[1] + "-time");
			admin.deleteTopics(List.of(args[1])).all().get();
		}
	}

	private Waits() {
	}
}
