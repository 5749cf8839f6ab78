package usage_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/seed14a526e0/relaystore/internal/testdb"
	"github.com/seed14a526e0/relaystore/repo"
	"github.com/seed14a526e0/relaystore/repo/accounts"
	"github.com/seed14a526e0/relaystore/repo/apikeys"
	"github.com/seed14a526e0/relaystore/repo/result"
	"github.com/seed14a526e0/relaystore/repo/usage"
)

// What two requests used and cost, by the days of Shanghai. The second call with
// the first one's requestId counts nothing.
func Example() {
	ctx := context.Background()
	url, drop := testdb.ForExample() // elsewhere: repo.ConfigFromEnv
	defer drop()
	client, err := repo.Open(ctx, repo.Config{DatabaseURL: url})
	if err != nil {
		log.Panic(err)
	}
	defer client.Close(ctx) //nolint:errcheck // an example

	key, err := client.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{Name: "alice"}).Get()
	if err != nil {
		log.Panic(err)
	}
	record := usage.Record{
		APIKeyID: key.ID, AccountType: "claude", Model: "claude-sonnet-4", RequestCount: 1,
		InputTokens: 1200, OutputTokens: 300, TotalTokens: 1500, Cost: result.MustMoney("0.0081"),
		Timestamp: time.Date(2025, 9, 16, 15, 30, 0, 0, time.UTC), RequestID: "req-1",
	}
	first := client.Usage.RecordUsage(ctx, record)
	again := client.Usage.RecordUsage(ctx, record)
	fmt.Println(first.Err(), first.Duplicate, again.Err(), again.Duplicate)
	record.RequestID, record.Timestamp = "req-2", record.Timestamp.Add(time.Hour)
	fmt.Println(client.Usage.RecordUsage(ctx, record).Err())

	stats, err := client.Usage.GetUsageStats(ctx, usage.StatsQuery{
		APIKeyID: key.ID, Granularity: usage.Day, TimeZone: "Asia/Shanghai",
		StartDate: time.Date(2025, 9, 15, 16, 0, 0, 0, time.UTC), EndDate: time.Date(2025, 9, 17, 16, 0, 0, 0, time.UTC),
	}).Get()
	if err != nil {
		log.Panic(err)
	}
	for _, day := range stats.Stats {
		fmt.Println(day.Date, day.Requests, day.TotalTokens, day.Cost)
	}
	summary, err := json.Marshal(stats.Summary)
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(string(summary))
	// Output:
	// <nil> false <nil> true
	// <nil>
	// 2025-09-16 1 1500 0.0081
	// 2025-09-17 1 1500 0.0081
	// {"totalRequests":2,"totalTokens":3000,"totalCost":0.0162,"averageCostPerToken":0.0000054}
}

// What three models cost in two days. The account is deleted and keeps its name.
func ExampleRepo_GetCostAnalysis() {
	ctx := context.Background()
	url, drop := testdb.ForExample() // elsewhere: repo.ConfigFromEnv
	defer drop()
	client, err := repo.Open(ctx, repo.Config{DatabaseURL: url})
	if err != nil {
		log.Panic(err)
	}
	defer client.Close(ctx) //nolint:errcheck // an example

	key, err := client.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{Name: "alice"}).Get()
	if err != nil {
		log.Panic(err)
	}
	account, err := client.Accounts.CreateAccount(ctx, accounts.AccountData{Platform: accounts.Bedrock, Name: "Frankfurt"}).Get()
	if err != nil {
		log.Panic(err)
	}
	first := time.Date(2025, 9, 16, 0, 0, 0, 0, time.UTC)
	for i, model := range []string{"claude-opus-4", "claude-sonnet-4", "claude-haiku-4"} {
		err := client.Usage.RecordUsage(ctx, usage.Record{
			APIKeyID: key.ID, AccountID: account.ID, AccountType: "bedrock", Model: model, RequestCount: 1,
			InputTokens: 1000, TotalTokens: 1000, Cost: result.MustMoney("0.1"), Timestamp: first.Add(time.Duration(i) * 12 * time.Hour),
		}).Err()
		if err != nil {
			log.Panic(err)
		}
	}
	if err := client.Accounts.DeleteAccount(ctx, account.ID).Err(); err != nil {
		log.Panic(err)
	}
	for _, by := range []usage.GroupBy{usage.ByModel, usage.ByAccount} {
		costs, err := client.Usage.GetCostAnalysis(ctx, usage.CostQuery{StartDate: first, EndDate: first.AddDate(0, 0, 3), GroupBy: by}).Get()
		if err != nil {
			log.Panic(err)
		}
		for _, share := range costs.CostBreakdown {
			fmt.Println(strings.Replace(share.Category, account.ID, share.Name, 1), share.Cost, share.Percentage)
		}
		if by == usage.ByModel {
			for _, day := range costs.Trends {
				fmt.Println(day.Date, day.Cost, day.Change)
			}
		}
	}
	// Output:
	// claude-haiku-4 0.1 33.34
	// claude-opus-4 0.1 33.33
	// claude-sonnet-4 0.1 33.33
	// 2025-09-16 0.2 0
	// 2025-09-17 0.1 -0.5
	// 2025-09-18 0 -1
	// Frankfurt 0.3 100
}

// A batch is answered record by record; then all but the last 90 days go, and the
// figures stay.
func ExampleRepo_CleanupOldStats() {
	ctx := context.Background()
	url, drop := testdb.ForExample() // elsewhere: repo.ConfigFromEnv
	defer drop()
	client, err := repo.Open(ctx, repo.Config{DatabaseURL: url})
	if err != nil {
		log.Panic(err)
	}
	defer client.Close(ctx) //nolint:errcheck // an example

	key, err := client.APIKeys.CreateAPIKey(ctx, apikeys.KeyData{Name: "alice"}).Get()
	if err != nil {
		log.Panic(err)
	}
	old := usage.Record{
		APIKeyID: key.ID, AccountType: "openai", Model: "gpt-4o", RequestCount: 1, InputTokens: 10, TotalTokens: 10,
		Cost: result.MustMoney("0.25"), Timestamp: time.Date(2024, 2, 29, 12, 0, 0, 0, time.UTC),
	}
	young, wrong := old, old
	young.Timestamp, wrong.TotalTokens = time.Time{}, 9
	for _, status := range client.Usage.RecordUsageBatch(ctx, []usage.Record{old, young, wrong}) {
		fmt.Println(status.Err())
	}
	done, err := client.Usage.CleanupOldStats(ctx, usage.DefaultRetentionDays).Get()
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(done.DeletedRecords, done.RemainingRecords)
	stats, err := client.Usage.GetUsageStats(ctx, usage.StatsQuery{
		APIKeyID: key.ID, Granularity: usage.Month, StartDate: old.Timestamp.AddDate(0, 0, -1), EndDate: old.Timestamp.AddDate(0, 0, 1),
	}).Get()
	if err != nil {
		log.Panic(err)
	}
	fmt.Println(stats.Stats[0].Date, stats.Stats[0].Cost)
	// Output:
	// <nil>
	// <nil>
	// DB_INVALID_QUERY: totalTokens: must be at least inputTokens + outputTokens
	// 1 1
	// 2024-02 0.25
}
