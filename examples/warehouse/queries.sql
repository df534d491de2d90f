-- What the warehouse of load.sh answers, with DuckDB: duckdb -c ".read queries.sql", in the warehouse's folder.

-- Offered and answered a day, all queues.
select date, sum("conversation.offered") as offered, sum("conversation.answered") as answered
from read_parquet('queues/*/*.parquet', hive_partitioning = true)
group by date order by date;

-- How long conversations of each first queue took, in minutes.
select "routing.queue.first.id" as queue, count(*) as conversations, round(avg("handle.time") / 60000, 1) as minutes
from read_parquet('conversations/*/*.parquet', hive_partitioning = true)
where "routing.queue.first.id" is not null
group by queue order by conversations desc, queue;

-- The busiest agents.
select "agent.name" as agent, sum("handle.time.count") as handled
from read_parquet('agents/*/*.parquet', hive_partitioning = true)
where "agent.name" is not null
group by agent order by handled desc, agent limit 10;
