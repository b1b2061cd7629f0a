import java.io.File;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.admin.Admin;

/** RoundTrip HOST:PORT TOPIC INPUT: the lines of INPUT in every codec to 1 and 8 partitions and back by assign. */
public final class RoundTrip {
	private static List<byte[]> lines(String path) throws Exception {
		byte[] all = Files.readAllBytes(new File(path).toPath());
		List<byte[]> lines = new ArrayList<>();
		int start = 0;

		for (int i = 0; i < all.length; i++) {
			if (all[i] != '\n')
				continue;
			lines.add(java.util.Arrays.copyOfRange(all, start, i));
			start = i + 1;
		}
		return lines;
	}

	public static void main(String[] args) throws Exception {
		Common.bootstrap = args[0];
		List<byte[]> lines = lines(args[2]);

		try (Admin admin = Common.admin()) {
			for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) {
				int partitions = codec.equals("none") || codec.equals("zstd") ? 1 : 8;
				String topic = args[1] + "-" + codec;
				var all = Common.create(admin, topic, partitions, Map.of());
				Common.produce(all, lines, "compression.type", codec, "batch.size", 100000, "linger.ms", 20);
				Common.consume(all, lines);
				System.out.println(topic + " " + partitions + " " + codec);
			}
		}
	}

	private RoundTrip() {
	}
}
