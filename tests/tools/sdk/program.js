// What a reporting script does with the vendor's JavaScript SDK: logs in, asks, prints what it got.
//
// program.js HOST PORT CLIENT_ID CLIENT_SECRET [job]. Where it asks is one setting, the SDK's gateway. With `job` it has a
// long range read by a job instead.

const platformClient = require('purecloud-platform-client-v2');
const questions = require('./questions.json');

const [host, port, clientId, clientSecret, what] = process.argv.slice(2);

async function main() {
  const client = platformClient.ApiClient.instance;
  client.setGateway({ host, protocol: 'http', port: Number(port) });
  await client.loginClientCredentialsGrant(clientId, clientSecret);
  const analytics = new platformClient.AnalyticsApi();
  const routing = new platformClient.RoutingApi();
  const users = new platformClient.UsersApi();

  if (what === 'job') {
    process.stdout.write(JSON.stringify(await byJob(analytics)));
    return;
  }
  const got = {};
  got.queues = await routing.getRoutingQueues({ pageSize: 100 });
  got.users = await users.getUsers({ pageSize: 100, state: 'any' });
  got.wrapUpCodes = await routing.getRoutingWrapupcodes({ pageSize: 100 });
  got.aggregates = await analytics.postAnalyticsConversationsAggregatesQuery(questions.aggregates);
  got.userAggregates = await analytics.postAnalyticsUsersAggregatesQuery(questions.userAggregates);

  const page = questions.details;
  got.details = [];
  for (;;) {
    const answer = await analytics.postAnalyticsConversationsDetailsQuery(page);
    got.totalHits = answer.totalHits;
    if (!answer.conversations?.length) break;
    got.details.push(...answer.conversations);
    page.paging.pageNumber += 1;
  }

  const { observations } = questions;
  observations.filter.predicates = got.queues.entities.map(({ id }) => ({ dimension: 'queueId', value: id }));
  got.observations = await analytics.postAnalyticsQueuesObservationsQuery(observations);

  try {
    await analytics.postAnalyticsConversationsAggregatesQuery(questions.refused);
  } catch (refusal) {
    // The SDK rejects with the error body.
    const { status, code, message } = refusal;
    got.refusal = { status, code, message };
  }
  process.stdout.write(JSON.stringify(got));
}

async function byJob(analytics) {
  const { jobId } = await analytics.postAnalyticsConversationsDetailsJobs(questions.job);
  while ((await analytics.getAnalyticsConversationsDetailsJob(jobId)).state !== 'FULFILLED') {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  const conversations = [];
  let cursor;
  do {
    const page = await analytics.getAnalyticsConversationsDetailsJobResults(jobId, { pageSize: 500, cursor });
    conversations.push(...page.conversations);
    cursor = page.cursor;
  } while (cursor);
  return conversations;
}

main().catch((error) => {
  console.error(error);
  process.exitCode = 1;
});
