// The kafkajs side of kafkajs.sh: `node kafkajs.js HOST:PORT TOPIC INPUT`.
// Admin calls, and INPUT's lines by turns to TOPIC-none (1 partition) and TOPIC-gzip (8 partitions).
const assert = require('assert')
const fs = require('fs')
const { Kafka, CompressionTypes, Partitioners, logLevel, KafkaJSProtocolError } = require('kafkajs')

const [bootstrap, topic, path] = process.argv.slice(2)
const kafka = new Kafka({ brokers: [bootstrap], logLevel: logLevel.NOTHING, retry: { retries: 2 } })

async function fails(type, promise) {
  const error = await promise.then(() => null, (e) => e)
  assert(error, `${type} did not come`)
  const partitions = [error, error.cause].flatMap((e) => (e && e.partitions) || []).map((p) => p.error)
  const all = [error, error.cause, ...(error.errors || []), ...partitions].filter(Boolean).map((e) => e.type)
  assert(all.includes(type), `${type} did not come but ${error.name} ${all}: ${error.message}`)
}

async function produce(name, partitions, compression, idempotent) {
  const producer = kafka.producer({ idempotent, createPartitioner: Partitioners.DefaultPartitioner })
  const lines = fs.readFileSync(path, 'latin1').split('\n').slice(0, -1)
  await producer.connect()
  for (let i = 0; i < lines.length; i += 4000) {
    const messages = lines.slice(i, i + 4000)
      .map((line, j) => ({ value: Buffer.from(line, 'latin1'), partition: (i + j) % partitions }))
    for (const answer of await producer.send({ topic: name, messages, compression })) {
      assert.strictEqual(answer.errorCode, 0)
    }
  }
  await producer.disconnect()
}

async function main() {
  const admin = kafka.admin()
  await admin.connect()
  const cluster = await admin.describeCluster()
  assert(cluster.brokers.length === 1 && cluster.clusterId && cluster.controller !== null)

  const topics = [{ topic: `${topic}-none`, numPartitions: 1, replicationFactor: 1 },
    { topic: `${topic}-gzip`, numPartitions: 4, configEntries: [{ name: 'retention.ms', value: '86400000' }] }]
  assert.strictEqual(await admin.createTopics({ topics }), true)
  assert.strictEqual(await admin.createTopics({ topics }), false) // they exist
  await admin.createPartitions({ topicPartitions: [{ topic: `${topic}-gzip`, count: 8 }] })
  await fails('INVALID_REPLICATION_FACTOR',
    admin.createTopics({ topics: [{ topic: `${topic}-two`, replicationFactor: 2 }] }))
  await fails('INVALID_TOPIC_EXCEPTION', admin.createTopics({ topics: [{ topic: 'a/b' }] }))
  const { topics: [described] } = await admin.fetchTopicMetadata({ topics: [`${topic}-gzip`] })
  assert.deepStrictEqual(described.partitions.map((p) => p.partitionId).sort(), [0, 1, 2, 3, 4, 5, 6, 7])
  await fails('UNKNOWN_TOPIC_OR_PARTITION', admin.deleteTopics({ topics: [`${topic}-unknown`] }))
  const { resources: [{ configEntries }] } = await admin.describeConfigs({
    includeSynonyms: true, resources: [{ type: 2, name: `${topic}-gzip`, configNames: ['retention.ms'] }] })
  assert.strictEqual(configEntries[0].configValue, '86400000')

  await produce(`${topic}-none`, 1, CompressionTypes.None, true)
  await produce(`${topic}-gzip`, 8, CompressionTypes.GZIP, false)
  const ends = await admin.fetchTopicOffsets(`${topic}-gzip`)
  const count = ends.reduce((n, p) => n + Number(p.high), 0)
  assert.strictEqual(count, fs.readFileSync(path, 'latin1').split('\n').length - 1)
  const times = await admin.fetchTopicOffsetsByTimestamp(`${topic}-none`, 0)
  assert.strictEqual(times[0].offset, '0')

  const altered = (name, value) => admin.alterConfigs({ validateOnly: false,
    resources: [{ type: 2, name, configEntries: [{ name: 'retention.ms', value }] }] })
  await altered(`${topic}-gzip`, '7200000')
  const { resources: [now] } = await admin.describeConfigs({
    resources: [{ type: 2, name: `${topic}-gzip`, configNames: ['retention.ms'] }] })
  assert.strictEqual(now.configEntries[0].configValue, '7200000')
  await fails('INVALID_CONFIG', altered(`${topic}-gzip`, 'soon'))
  await fails('UNKNOWN_TOPIC_OR_PARTITION', altered(`${topic}-unknown`, '1'))

  const emptied = `${topic}-emptied`
  await admin.createTopics({ topics: [{ topic: emptied, numPartitions: 1 }] })
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })
  await producer.connect()
  await producer.send({ topic: emptied, messages: [1, 2, 3, 4, 5].map((i) => ({ value: `${i}` })) })
  await producer.disconnect()
  // kafkajs looks for the leader in what it knows of the topic by now
  assert.strictEqual((await admin.fetchTopicOffsets(emptied))[0].high, '5')
  await admin.deleteTopicRecords({ topic: emptied, partitions: [{ partition: 0, offset: '3' }] })
  assert.strictEqual((await admin.fetchTopicOffsets(emptied))[0].low, '3')
  await admin.deleteTopicRecords({ topic: emptied, partitions: [{ partition: 0, offset: '-1' }] })
  assert.strictEqual((await admin.fetchTopicOffsets(emptied))[0].low, '5')
  await fails('OFFSET_OUT_OF_RANGE',
    admin.deleteTopicRecords({ topic: emptied, partitions: [{ partition: 0, offset: '6' }] }))
  await admin.deleteTopics({ topics: [emptied] })

  const doomed = { topics: [`${topic}-doomed`] }
  await admin.createTopics({ topics: [{ topic: doomed.topics[0] }] })
  await admin.deleteTopics(doomed)
  assert(!(await admin.listTopics()).includes(doomed.topics[0]))
  await admin.disconnect()
}

main().catch((error) => {
  console.log(error)
  process.exit(1)
})
