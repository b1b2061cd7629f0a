import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** What the Java tests share: clients with a few settings, checks that throw. */
final class Common {
	static String bootstrap;

	interface Call {
		void run() throws Exception;
	}

	static Map<String, Object> settings(Object... pairs) {
		Map<String, Object> all = new HashMap<>();
		all.put("bootstrap.servers", bootstrap);
		for (int i = 0; i < pairs.length; i += 2)
			all.put((String) pairs[i], pairs[i + 1]);
		return all;
	}

	static Admin admin() {
		return Admin.create(settings());
	}

	static KafkaProducer<byte[], byte[]> producer(Object... pairs) {
		return new KafkaProducer<>(settings(pairs), new ByteArraySerializer(), new ByteArraySerializer());
	}

	static KafkaConsumer<byte[], byte[]> consumer(Object... pairs) {
		Map<String, Object> all = settings(pairs);
		all.putIfAbsent("auto.offset.reset", "none");
		all.putIfAbsent("allow.auto.create.topics", false);
		return new KafkaConsumer<>(all, new ByteArrayDeserializer(), new ByteArrayDeserializer());
	}

	static List<TopicPartition> create(Admin admin, String topic, int partitions, Map<String, String> configs)
			throws Exception {
		admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(configs))).all().get();
		List<TopicPartition> all = new ArrayList<>();
		for (int i = 0; i < partitions; i++)
			all.add(new TopicPartition(topic, i));
		/*
		 * Apache Kafka answers before its partitions are open.  An idempotent producer whose first batch is
		 * refused then and whose second is taken is stuck, there as here.
		 */
		admin.listOffsets(all.stream().collect(Collectors.toMap(p -> p, p -> OffsetSpec.latest()))).all().get();
		return all;
	}

	/** Sends the values to the partitions by turns and waits for every answer. */
	static void produce(List<TopicPartition> partitions, List<byte[]> values, Object... pairs) throws Exception {
		List<Future<RecordMetadata>> answers = new ArrayList<>();

		try (KafkaProducer<byte[], byte[]> producer = producer(pairs)) {
			for (int i = 0; i < values.size(); i++) {
				TopicPartition p = partitions.get(i % partitions.size());
				answers.add(producer.send(new ProducerRecord<>(p.topic(), p.partition(), null, values.get(i))));
			}
		}
		for (Future<RecordMetadata> answer : answers)
			answer.get();
	}

	/** Reads from offset 0 to the ends, checks offsets and that each partition holds its turns of values. */
	static void consume(List<TopicPartition> partitions, List<byte[]> values, Object... pairs) {
		consume(partitions, partitions, values, pairs);
	}

	/** The same, with partitions assigned that must stay empty. */
	static void consume(List<TopicPartition> partitions, List<TopicPartition> assigned, List<byte[]> values,
			Object... pairs) {
		long[] next = new long[partitions.size()];
		long left = values.size(), deadline = System.currentTimeMillis() + 60000;
		Map<TopicPartition, Integer> index = new HashMap<>();

		for (int i = 0; i < partitions.size(); i++)
			index.put(partitions.get(i), i);
		try (KafkaConsumer<byte[], byte[]> consumer = consumer(pairs)) {
			consumer.assign(assigned);
			consumer.seekToBeginning(assigned);
			while (left > 0) {
				check(System.currentTimeMillis() < deadline, left + " records are missing after a minute");
				for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofSeconds(1))) {
					int i = index.get(new TopicPartition(r.topic(), r.partition()));
					check(r.offset() == next[i], r.topic() + "-" + r.partition() + ": offset " + r.offset()
						+ " instead of " + next[i]);
					int at = (int) next[i]++ * partitions.size() + i;
					check(Arrays.equals(r.value(), values.get(at)), "record " + at + " differs");
					left--;
				}
			}
			check(consumer.poll(Duration.ofMillis(300)).isEmpty(), "more records came than were sent");
		}
	}

	static void check(boolean good, String what) {
		if (!good)
			throw new AssertionError(what);
	}

	static void same(Object expected, Object got, String what) {
		check(expected.equals(got), what + " is " + got + ", not " + expected);
	}

	/** The call must fail with the error, in itself or as its cause, and the message must hold the text. */
	static void fails(Class<? extends Exception> error, String text, Call call) throws Exception {
		Throwable got = null;

		try {
			call.run();
		} catch (Exception e) {
			got = e instanceof ExecutionException && e.getCause() != null ? e.getCause() : e;
		}
		check(error.isInstance(got), error.getSimpleName() + " did not come but " + got);
		check(String.valueOf(got.getMessage()).contains(text), got + " does not say \"" + text + "\"");
	}

	private Common() {
	}
}
