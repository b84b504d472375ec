"""The stream in Apache Kafka: documented JSON for strangers, the records themselves for us.

`messages` says what stands in a topic, `clients` how librdkafka is set up and what its failures
mean, `writer` and `reader` are the two sides of `ledger.stream.backend`, and `forwarder` brings
what the relay has written to segments here.
"""
