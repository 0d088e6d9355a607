-- Newcomers ask by /join alone (decision 0013): what they asked for by /enrolments is no request any more. The audit keeps what came of it.
DELETE FROM authority_request WHERE kind = 'enrolment';
