package result

// SQLStates lets the table test ask whether it is complete.
var SQLStates = sqlStates
