"""Reads every conversation of a day page by page with the vendor's SDK: PORT DAY. Prints how many, and the seconds."""

import json
import sys
import time

import PureCloudPlatformClientV2 as sdk

port, day = sys.argv[1:3]
began = time.perf_counter()
sdk.configuration.gateway_configuration = sdk.GatewayConfiguration(host="127.0.0.1", protocol="http", port=int(port))
client = sdk.api_client.ApiClient().get_client_credentials_token("simulated-client", "simulated-secret")
analytics = sdk.AnalyticsApi(client)
conversations, number = [], 1
while True:
    question = {"interval": day, "paging": {"pageSize": 100, "pageNumber": number}}
    page = analytics.post_analytics_conversations_details_query(question).conversations or []
    conversations += page
    if len(page) < 100:
        break
    number += 1
print(json.dumps({"conversations": len(conversations), "seconds": time.perf_counter() - began}))
