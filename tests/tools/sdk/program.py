"""What a reporting script does with the vendor's Python SDK: logs in, asks, prints what it got.

program.py HOST PORT CLIENT_ID CLIENT_SECRET [job]. Where it asks is one setting, the SDK's gateway. With `job` it has a
long range read by a job instead.
"""

import json
import pathlib
import sys
import time

import PureCloudPlatformClientV2 as sdk
from PureCloudPlatformClientV2.rest import ApiException

host, port, client_id, client_secret = sys.argv[1:5]
questions = json.loads(pathlib.Path(__file__).with_name("questions.json").read_text())

sdk.configuration.gateway_configuration = sdk.GatewayConfiguration(host=host, protocol="http", port=int(port))
client = sdk.api_client.ApiClient().get_client_credentials_token(client_id, client_secret)
analytics, routing, users = sdk.AnalyticsApi(client), sdk.RoutingApi(client), sdk.UsersApi(client)

if sys.argv[5:] == ["job"]:
    job = analytics.post_analytics_conversations_details_jobs(questions["job"]).job_id
    while analytics.get_analytics_conversations_details_job(job).state != "FULFILLED":
        time.sleep(0.1)
    page = analytics.get_analytics_conversations_details_job_results(job, page_size=500)
    conversations = page.conversations
    while page.cursor:
        page = analytics.get_analytics_conversations_details_job_results(job, page_size=500, cursor=page.cursor)
        conversations += page.conversations
    json.dump(client.sanitize_for_serialization(conversations), sys.stdout)
    sys.exit()

got = {}
got["queues"] = queues = routing.get_routing_queues(page_size=100)
got["users"] = users.get_users(page_size=100, state="any")
got["wrapUpCodes"] = routing.get_routing_wrapupcodes(page_size=100)
got["aggregates"] = analytics.post_analytics_conversations_aggregates_query(questions["aggregates"])
got["userAggregates"] = analytics.post_analytics_users_aggregates_query(questions["userAggregates"])

page, conversations = questions["details"], []
while True:
    answer = analytics.post_analytics_conversations_details_query(page)
    if not answer.conversations:
        break
    conversations += answer.conversations
    page["paging"]["pageNumber"] += 1
got["details"], got["totalHits"] = conversations, answer.total_hits

observations = questions["observations"]
observations["filter"]["predicates"] = [{"dimension": "queueId", "value": queue.id} for queue in queues.entities]
got["observations"] = analytics.post_analytics_queues_observations_query(observations)

try:
    analytics.post_analytics_conversations_aggregates_query(questions["refused"])
except ApiException as refusal:
    body = json.loads(refusal.body)
    got["refusal"] = {"status": refusal.status, "code": body["code"], "message": body["message"]}

json.dump(client.sanitize_for_serialization(got), sys.stdout)
