# Banque du Fleuve, the demo organisation that asks for an income.
bank-nav-home = Home
bank-nav-loan = Ask for a loan
bank-nav-office = The bank’s side
bank-francs = { $amount } FCFA
bank-purpose = Study your request for a loan

bank-home-title = A loan without paperwork
bank-home-lead = Ask for a loan in two minutes. With your agreement, and only with it, the tax office confirms your income to the bank.
bank-home-step-ask = You say how much, for how long and what for.
bank-home-step-agree = You sign in with the Digital Agency and choose: let the bank read your income, or refuse.
bank-home-step-answer = The bank answers. You can withdraw your agreement at any time on your citizen portal.
bank-home-begin = Ask for a loan
bank-home-requests = Your requests
bank-home-none = You have made no request on this device yet.

bank-loan-title = Ask for a loan
bank-loan-lead = Three questions, then your choice.
bank-amount = Sum of the loan
bank-amount-hint = In CFA francs, for instance 500 000
bank-amount-error = Write a sum between { $least } and { $most } FCFA
bank-months = Time to pay it back
bank-months-count = { $months } months
bank-months-error = Choose a time
bank-project = What the loan pays for
bank-project-trade = A trade: stock, stall, premises
bank-project-equipment = Equipment: motorcycle, tool, machine
bank-project-school = Studies or training
bank-project-housing = A home or building work
bank-project-health = Health care
bank-project-error = Choose what the loan is for
bank-loan-next-title = What comes next
bank-loan-next-text = You will be taken to the Digital Agency. It will show exactly what the bank wants to read: gross income, taxable income and employer, for one year only. The bank will never know your national number.
bank-loan-send = Continue

bank-request-title = Your request for a loan
bank-request-asked = What you asked for
bank-request-grant = Reference of your agreement
bank-request-consent = Choose: accept or refuse
bank-request-again = Ask for my income again

bank-state-asked = Waiting for your choice
bank-state-refused = You refused
bank-state-verified = Income confirmed
bank-state-unverified = Income not confirmed

bank-told-asked-title = Your choice is missing
bank-told-asked-text = You have neither accepted nor refused that the bank reads your income. Nothing has been read.
bank-told-refused-title = You refused, as is your right
bank-told-refused-text = The bank has read nothing. Your request stays open: bring a proof of income to a branch, or change your mind whenever you like.
bank-told-answered-title = Your income is confirmed
bank-told-answered-text = The tax office answered the bank over the State’s bridge. Your agreement is good for { $days } days and { $uses } readings at most. Each reading is written on your citizen portal, under “Who looked at my data”.
bank-told-ended-title = Your visit to the bank is over
bank-told-ended-text = For your safety the bank can no longer ask for your income without you. Sign in again if you want to go on.
bank-told-consent-revoked-title = You withdrew your agreement
bank-told-consent-revoked-text = The bank asked and the bridge refused: it was given nothing. It has also erased the income it had read before. To go on, give a new agreement or bring a proof of income to a branch.
bank-told-consent-expired-title = Your agreement has come to its end
bank-told-consent-expired-text = It was good for { $days } days. The bank was given nothing. You can give a new one.
bank-told-consent-exhausted-title = Your agreement has been used { $uses } times
bank-told-consent-exhausted-text = That was the limit you accepted. The bank was given nothing more. You can give a new agreement.
bank-told-consent-out-of-scope-title = Your agreement does not cover this reading
bank-told-consent-out-of-scope-text = The bank was given nothing. You can give a new agreement.
bank-told-access-denied-title = The bridge refused the bank access
bank-told-access-denied-text = Nothing was given. It is not your fault: sign in again, or bring a proof of income to a branch.
bank-told-no-statement-title = The tax office has no statement in your name
bank-told-no-statement-text = That is common where income is not declared. Your request stays open: bring another proof of income to a branch.
bank-told-unreachable-title = The tax office does not answer for the moment
bank-told-unreachable-text = Your agreement still holds. Try again in a few minutes.
bank-told-other-title = The reading did not succeed
bank-told-other-text = The bank was given nothing. Try again, or bring a proof of income to a branch.

bank-income-title = Your income, confirmed by the tax office
bank-income-source = The bank sees these lines and no other.
bank-income-year = Year
bank-income-gross = Gross income
bank-income-taxable = Taxable income
bank-income-employer = Employer

bank-advice-title = What the calculation says
bank-advice-share = a month, which is { $percent } % of your monthly income
bank-advice-good = Favourable: it is less than { $limit } % of your income. An adviser will call you to sign.
bank-advice-talk = It is more than { $limit } % of your income. An adviser will look for a longer time or a smaller sum with you.
bank-advice-terms = Indicative, at { $percent } % a year. A person decides, never a machine.

bank-calls-title = What the bank asked for
bank-calls-text = Each request has a number and leaves a signed proof, which anybody can check without the bank or the State.
bank-call-message = Message
bank-call-took = { $ms } ms
bank-call-proof-response = Download the ASiC-E proof of the tax office’s answer
bank-call-proof-request = Download the ASiC-E proof of the bank’s request
bank-outcome-answered = Income received
bank-outcome-consent-revoked = Refused: agreement withdrawn
bank-outcome-consent-expired = Refused: agreement ended
bank-outcome-consent-exhausted = Refused: agreement used up
bank-outcome-consent-out-of-scope = Refused: outside the agreement
bank-outcome-access-denied = Refused: no right of access
bank-outcome-no-statement = No tax statement
bank-outcome-unreachable = No answer
bank-outcome-other = Failed

bank-office-title = The bank’s side
bank-office-lead = What the bank’s systems keep of your requests: the number of each message on the bridge and how it ended. Neither your name nor your national number is there.
bank-office-client = The bank, on the bridge
bank-office-service = The service called
bank-office-none = No call was made for your requests.
bank-office-when = When
bank-office-outcome = Outcome
bank-office-took = Time
bank-office-message = Message (X-Road-Id)
bank-office-reference = Reference of the node
bank-office-fields = The node keeps each message signed and time-stamped; the reference lets an operator find it.

bank-stale-title = This answer cannot be used any more
bank-stale-text = It was used already, or it comes from another window. Go back to the first page: your requests are there.
bank-provider-title = The Digital Agency does not answer
bank-provider-text = Your request is kept. Come back to the first page in a few minutes and open it to go on.
